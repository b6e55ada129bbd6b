import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { LocalJudge, makeStoredAccount, type NtlmJudge, parseAccounts } from "@ckmesh/auth";
import { isAppError } from "@ckmesh/core";
import { createLogger, systemClock } from "@ckmesh/runtime";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it, onTestFinished } from "vitest";
import { DomainNames } from "../../src/logon/domain-names.js";
import { HelperPool } from "../../src/logon/helper-pool.js";
import { isEmptyBlock } from "../../src/logon/ntlm-server-1.js";
import { winbindNtlmJudge, winbindPasswordJudge } from "../../src/logon/winbind-judges.js";
import { eventually } from "../origin-fixture.js";

const FAKE = fileURLToPath(new URL("fake-ntlm-auth.mjs", import.meta.url));
const DOMAINS = new DomainNames({ netbiosDomain: "MEDV", realms: ["MEDV.TEST"], dnsNames: [] });
const RIGHT = Buffer.from([0xaa]);
const WRONG = Buffer.from([0xbb]);

function makePool(mode: string, clock = systemClock, program = process.execPath) {
  const log: string[] = [];
  const logger = createLogger({ level: "debug", destination: { write: (line) => log.push(line) } });
  const command = [program, FAKE, mode] as const;
  const pool = new HelperPool({ command, isHarmless: isEmptyBlock, clock, logger });
  onTestFinished(() => pool.close());
  return { pool, log };
}

function ntlm(mode: string) {
  const { pool, log } = makePool(mode);
  const judge = winbindNtlmJudge(pool, DOMAINS, undefined);
  const ask = (account: string, ntResponse: Uint8Array, domain = "") =>
    judge.judge({ name: { account, domain }, serverChallenge: new Uint8Array(8), ntResponse });
  return { ask, log, pool };
}

/** Lets what was started get as far as it does without the outside. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

const unavailable = expect.objectContaining({ code: "ERR_AUTH_UNAVAILABLE" });

describe("ntlm-server-1", () => {
  it("gives identity and session key of a right response, and nothing for a wrong one", async () => {
    const { ask } = ntlm("ntlm");
    expect(await ask("alice", RIGHT)).toEqual({
      identity: { name: "MEDV\\alice", account: "alice", domain: "MEDV" },
      sessionBaseKey: Buffer.from("alice..........."),
    });
    expect(await ask("alice", WRONG)).toBeUndefined();
  });

  it.each(["ntlm", "late dot"])(
    "never takes the second dot of a refusal for an answer (%s)",
    async (mode) => {
      const { ask, log } = ntlm(mode);
      for (let i = 0; i < 20; i += 1) {
        expect(await ask(`wrong${i}`, WRONG)).toBeUndefined();
        const right = await ask(`right${i}`, RIGHT);
        expect(right?.identity.account).toBe(`right${i}`);
        expect(Buffer.from(right?.sessionBaseKey ?? []).toString()).toMatch(new RegExp(`^right${i}\\.`));
      }
      expect(log).toEqual([]);
    },
  );

  it("keeps answers apart under load", async () => {
    const { ask } = ntlm("ntlm");
    const names = Array.from({ length: 64 }, (_, i) => `user${i}`);
    const answers = await Promise.all(names.map((name, i) => ask(name, i % 3 === 0 ? WRONG : RIGHT)));
    const keys = answers.map((answer) => answer && Buffer.from(answer.sessionBaseKey).toString());
    expect(keys).toEqual(names.map((name, i) => (i % 3 === 0 ? undefined : name.padEnd(16, "."))));
  });

  it("turns away whoever would wait behind 64 others", async () => {
    const { ask } = ntlm("ntlm");
    const outcomes = await Promise.allSettled(Array.from({ length: 69 }, (_, i) => ask(`u${i}`, RIGHT)));
    expect(outcomes.filter(({ status }) => status === "rejected")).toHaveLength(1);
    expect(outcomes[68]).toMatchObject({ reason: unavailable });
  });

  it("says when nobody judged because the domain is away, and goes on", async () => {
    const { ask, log } = ntlm("away");
    await expect(ask("alice", RIGHT)).rejects.toThrow(unavailable);
    await expect(ask("alice", WRONG)).rejects.toThrow(unavailable);
    expect(log).toEqual([]);
  });

  it("passes names with other characters encoded, and no name with a line end", async () => {
    const { ask } = ntlm("ntlm");
    const right = await ask("Åse :: x", RIGHT);
    expect(Buffer.from(right?.sessionBaseKey ?? []).toString()).toBe("Åse :: x.......");
    expect(await ask("alice\n.\n", RIGHT)).toBeUndefined();
    expect(await ask("alice", RIGHT, "MEDV\nUsername: root")).toBeUndefined();
    expect(await ask("", RIGHT)).toBeUndefined();
  });

  it("takes nobody's principal name from another domain for that of its own", async () => {
    const { pool } = makePool("ntlm");
    const alice = { name: "MEDV\\alice", account: "alice", domain: "MEDV" };
    const directory = {
      groupsOf: async () => [],
      findByUpn: async () => alice,
      findByAltSecurityIdentities: async () => undefined,
    };
    const judge = winbindNtlmJudge(pool, DOMAINS, directory);
    const ask = (domain: string) =>
      judge.judge({
        name: { account: "alice@medv.test", domain },
        serverChallenge: new Uint8Array(8),
        ntResponse: RIGHT,
      });
    expect([(await ask(""))?.identity, (await ask("medv"))?.identity]).toEqual([alice, alice]);
    expect(await ask("PARTNER")).toBeUndefined();
  });

  it("names people by the NetBIOS name of their domain", async () => {
    const { ask } = ntlm("ntlm");
    const names = ["", "medv", "medv.test", "Other"].map(
      async (d) => (await ask("bo", RIGHT, d))?.identity.name,
    );
    expect(await Promise.all(names)).toEqual(["MEDV\\bo", "MEDV\\bo", "MEDV\\bo", "OTHER\\bo"]);
  });

  it.each(["dies", "no verdict", "no key", "error", "endless line", "endless answer", "ends at once"])(
    "is ended, and the logon is no wrong password, when it misbehaves: %s",
    async (mode) => {
      const { ask, log } = ntlm(mode);
      await expect(ask("alice", RIGHT)).rejects.toThrow(unavailable);
      expect(log.join("")).toContain("logon helper ended");
    },
  );

  it("is ended when it answers more than it was asked, before that becomes somebody's answer", async () => {
    const { ask, log } = ntlm("shifted");
    expect(await ask("mallory", WRONG)).toBeUndefined();
    await eventually(() => log.join("").includes("spoke without being asked"));
    await expect(ask("mallory", WRONG)).rejects.toThrow(unavailable);
  });

  it("is read whatever the pieces in which it writes", async () => {
    const { ask } = ntlm("splits");
    expect(Buffer.from((await ask("a", RIGHT))?.sessionBaseKey ?? []).toString("hex")).toMatch(/^0123456789/);
  });

  it("that is silent about one logon is ended after 5 s, and the next logon is judged at once", async () => {
    const clock = new VirtualClock();
    const { pool, log } = makePool("ntlm", clock);
    const judge = winbindNtlmJudge(pool, DOMAINS, undefined);
    const ask = (account: string) =>
      judge.judge({
        name: { account, domain: "" },
        serverChallenge: new Uint8Array(8),
        ntResponse: RIGHT,
      });
    // As about a domain whose controllers are away: anybody can name one.
    const silent = Array.from({ length: 4 }, () => ask("silent").catch((err: unknown) => err));
    await turn();
    clock.advance(4999);
    expect(log).toEqual([]);
    clock.advance(1);
    expect(await Promise.all(silent)).toEqual(silent.map(() => unavailable));
    expect(log.filter((line) => line.includes("no answer within 5 s"))).toHaveLength(4);
    expect((await ask("alice"))?.identity.account).toBe("alice");
  });

  it("that dies is started again only after a pause that doubles", async () => {
    const clock = new VirtualClock();
    const { pool, log } = makePool("dies", clock);
    const judge = winbindNtlmJudge(pool, DOMAINS, undefined);
    const ask = () =>
      judge.judge({
        name: { account: "a", domain: "" },
        serverChallenge: new Uint8Array(8),
        ntResponse: RIGHT,
      });
    await expect(ask()).rejects.toThrow(unavailable);
    const refused = await ask().catch((err: unknown) => err);
    expect(isAppError(refused, "ERR_AUTH_UNAVAILABLE") && refused.details).toEqual({ retryMs: 200 });
    clock.advance(200);
    await expect(ask()).rejects.toThrow(unavailable);
    expect(log.map((line) => /"pauseMs":(\d+)/.exec(line)?.[1])).toEqual(["200", "400"]);
  });

  it("that cannot be started is said in the log at the start", async () => {
    const { pool, log } = makePool("ntlm", systemClock, "/no/such/ntlm_auth");
    pool.start();
    await eventually(() => log.length > 0);
    expect(log.join("")).toContain("ENOENT");
  });

  it("that died between two logons is replaced", async () => {
    const { ask, log } = ntlm("dies second");
    expect(await ask("a", RIGHT)).toBeDefined();
    await expect(ask("b", RIGHT)).rejects.toThrow(unavailable);
    await eventually(async () => {
      const answer = await ask("c", RIGHT).catch(() => undefined);
      return answer?.identity.account === "c";
    });
    expect(log).toHaveLength(1);
  });

  it("asked while it stops is refused", async () => {
    const { ask, pool } = ntlm("silent");
    const waiting = Array.from({ length: 6 }, (_, i) => ask(`u${i}`, RIGHT));
    await turn();
    pool.close();
    const outcomes = await Promise.allSettled(waiting);
    expect(
      outcomes.every((o) => o.status === "rejected" && isAppError(o.reason, "ERR_AUTH_UNAVAILABLE")),
    ).toBe(true);
  });
});

describe("passwords by ntlm-server-1", () => {
  const deps = { randomBytes, clock: systemClock };

  it("are right when they answer a challenge, whatever characters they have", async () => {
    const password = "pä ss\u{1F511}";
    const accounts = parseAccounts({ accounts: [await makeStoredAccount("alice", password, true)] });
    const judge = winbindPasswordJudge(new LocalJudge(randomBytes, accounts), DOMAINS, deps);
    const check = async (account: string, text: string) =>
      (await judge.check({ account, domain: "" }, text))?.account;
    expect(await check("alice", password)).toBe("alice");
    expect(await check("ALICE", password)).toBe("alice");
    expect(await check("alice", `${password} `)).toBeUndefined();
    expect(await check("bob", password)).toBeUndefined();
    expect(await check("alice", "")).toBeUndefined();
    expect(await check("", password)).toBeUndefined();
  });

  it("go to the domain under its NetBIOS name, to another one under the name that was given", async () => {
    const domains: string[] = [];
    const ntlmJudge: NtlmJudge = {
      judge: ({ name }) => {
        domains.push(name.domain);
        return Promise.resolve(undefined);
      },
    };
    const judge = winbindPasswordJudge(ntlmJudge, DOMAINS, deps);
    for (const domain of ["", "medv", "medv.test", "OTHER"]) await judge.check({ account: "a", domain }, "x");
    expect(domains).toEqual(["MEDV", "MEDV", "MEDV", "OTHER"]);
  });

  it("are not called wrong while the domain is away", async () => {
    const ntlmJudge = winbindNtlmJudge(makePool("away").pool, DOMAINS, undefined);
    const judge = winbindPasswordJudge(ntlmJudge, DOMAINS, deps);
    await expect(judge.check({ account: "alice", domain: "" }, "x")).rejects.toThrow(unavailable);
  });
});
