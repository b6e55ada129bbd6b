import { makeNtlmNegotiate, type NtlmJudge } from "@ckmesh/auth";
import { AppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Lockout } from "../src/lockout.js";
import { encodeChallenge, parseChallenge } from "../src/ntlm/ntlm-messages.js";
import { answerTo, ask, base64, connectTo, logOnNtlm, PASSWORD, serverOf, tokenOf } from "./logon-rig.js";

const TYPE_1 = `NTLM ${base64(makeNtlmNegotiate())}`;
const BOB = { account: "bob", domain: "", password: "builder" };
const BASIC = `Basic ${Buffer.from(`alice:${PASSWORD}`).toString("base64")}`;
const both = {
  accounts: [
    { name: "Alice", password: PASSWORD },
    { name: "Bob", password: BOB.password },
  ],
};

/** A judge that answers when it is told to. */
function slowJudge() {
  const open: ((name: string | undefined) => void)[] = [];
  const judge: NtlmJudge = {
    judge: () =>
      new Promise((resolve) =>
        open.push((name) =>
          resolve(
            name === undefined
              ? undefined
              : { identity: { name, account: name }, sessionBaseKey: new Uint8Array(16) },
          ),
        ),
      ),
  };
  return { judge, open };
}

async function typeThree(connection: ReturnType<typeof connectTo>): Promise<string> {
  const challenge = tokenOf(await ask(connection, TYPE_1));
  return `NTLM ${base64(answerTo(challenge).message)}`;
}

describe("challenges", () => {
  it("come one per scheme, in the order of the providers", () => {
    expect(connectTo(serverOf()).challenges()).toEqual([
      "Negotiate",
      "NTLM",
      'Basic realm="MEDV", charset="UTF-8"',
    ]);
    expect(connectTo(serverOf(), { isTls: false }).challenges()).toEqual(["Negotiate", "NTLM"]);
  });

  it("are one line in the middle of a handshake", async () => {
    expect(await ask(connectTo(serverOf()), TYPE_1)).toEqual({
      type: "continue",
      challenge: expect.stringMatching(/^NTLM TlRMTVNTUAAC[A-Za-z0-9+/]+={0,2}$/),
    });
  });
});

describe("a proven user", () => {
  it("stays with the connection, and with no other one", async () => {
    const server = serverOf();
    const connection = connectTo(server);
    await logOnNtlm(connection);
    expect(await ask(connection)).toMatchObject({
      type: "user",
      identity: { name: "Alice" },
      scheme: "ntlm",
    });
    expect(await ask(connectTo(server))).toEqual({ type: "anonymous" });
  });

  it.each(["Basic QQ==", "NTLM", "rubbish", TYPE_1, "Bearer x", "Negotiate QUJD", "NTLM QUJD"])(
    "is forgotten when the next request says %j",
    async (authorization) => {
      const connection = connectTo(serverOf());
      await logOnNtlm(connection);
      expect((await ask(connection, authorization)).type).not.toBe("user");
      expect(await ask(connection)).toEqual({ type: "anonymous" });
    },
  );

  it("gives way to another one on the same connection", async () => {
    const connection = connectTo(serverOf(both));
    await logOnNtlm(connection);
    await logOnNtlm(connection, { credentials: BOB });
    expect(await ask(connection)).toMatchObject({ identity: { name: "Bob" } });
  });

  it("is not remembered of Basic", async () => {
    const connection = connectTo(serverOf());
    expect(await ask(connection, BASIC)).toMatchObject({ type: "user", scheme: "basic" });
    expect(await ask(connection)).toEqual({ type: "anonymous" });
  });

  it("is not remembered with authPersistSingleRequest", async () => {
    const connection = connectTo(serverOf({ persistence: { authPersistSingleRequest: true } }));
    expect(await logOnNtlm(connection)).toMatchObject({ type: "user" });
    expect(await ask(connection)).toEqual({ type: "anonymous" });
  });

  it("is not remembered of a request through a hop that is not trusted, nor shown to one", async () => {
    const connection = connectTo(serverOf());
    const challenge = tokenOf(await ask(connection, TYPE_1, { isProxied: true }));
    const answer = `NTLM ${base64(answerTo(challenge).message)}`;
    expect(await ask(connection, answer, { isProxied: true })).toMatchObject({ type: "user" });
    expect(await ask(connection, undefined, { isProxied: true })).toEqual({ type: "anonymous" });
    await logOnNtlm(connection);
    expect(await ask(connection, undefined, { isProxied: true })).toEqual({ type: "anonymous" });
    expect(await ask(connection)).toEqual({ type: "anonymous" });
  });
});

describe("a challenge", () => {
  it("is answered once: the same answer again is refused", async () => {
    const connection = connectTo(serverOf());
    const answer = await typeThree(connection);
    expect(await ask(connection, answer)).toMatchObject({ type: "user" });
    expect(await ask(connection, answer)).toEqual({ type: "refused", reason: "no challenge pending" });
    expect(await ask(connection)).toEqual({ type: "anonymous" });
  });

  it("is used up by a wrong answer", async () => {
    const connection = connectTo(serverOf());
    const challenge = tokenOf(await ask(connection, TYPE_1));
    const wrong = answerTo(challenge, { credentials: { ...BOB, account: "alice" } });
    expect(await ask(connection, `NTLM ${base64(wrong.message)}`)).toMatchObject({
      reason: "wrong password",
    });
    expect(await ask(connection, `NTLM ${base64(answerTo(challenge).message)}`)).toMatchObject({
      reason: "no challenge pending",
    });
  });

  it("is of its own connection: an answer to another one's is refused", async () => {
    const server = serverOf();
    const [one, other] = [connectTo(server), connectTo(server)];
    const answer = await typeThree(one);
    expect(await ask(other, answer)).toMatchObject({ reason: "no challenge pending" });
    await ask(other, TYPE_1);
    expect(await ask(other, answer)).toMatchObject({ type: "refused", reason: "wrong password" });
  });

  it.each([
    [59_999, "user"],
    [60_000, "refused"],
  ])("after %i ms makes of the right answer: %s", async (now, type) => {
    const connection = connectTo(serverOf());
    expect(await ask(connection, await typeThree(connection), { now })).toMatchObject({ type });
  });

  it("does not outlive another one for the same connection", async () => {
    const connection = connectTo(serverOf());
    const first = await typeThree(connection);
    await ask(connection, TYPE_1);
    expect(await ask(connection, first)).toMatchObject({ reason: "wrong password" });
  });
});

describe("requests at once on one connection", () => {
  it("wait for the check that is under way, and see its user", async () => {
    const { judge, open } = slowJudge();
    const connection = connectTo(serverOf({ judge }));
    const message = withoutMic(tokenOf(await ask(connection, TYPE_1)));
    const logon = ask(connection, `NTLM ${base64(message)}`);
    const next = ask(connection);
    await untilOpen(open);
    open[0]?.("Alice");
    expect(await logon).toMatchObject({ type: "user", identity: { name: "Alice" } });
    expect(await next).toMatchObject({ type: "user", identity: { name: "Alice" } });
  });

  it("wait also when the check fails or its back end is down", async () => {
    const judge: NtlmJudge = {
      judge: () => Promise.reject(new AppError("ERR_AUTH_UNAVAILABLE", "winbind does not answer")),
    };
    const connection = connectTo(serverOf({ judge }));
    const answer = await typeThree(connection);
    const [logon, next] = await Promise.allSettled([ask(connection, answer), ask(connection)]);
    expect(logon).toMatchObject({ status: "rejected", reason: { code: "ERR_AUTH_UNAVAILABLE" } });
    expect(next).toMatchObject({ status: "fulfilled", value: { type: "anonymous" } });
  });

  it("are at most 64 that wait; the next is turned away with ERR_RATE_LIMITED", async () => {
    const { judge, open } = slowJudge();
    const connection = connectTo(serverOf({ judge }));
    const answer = await typeThree(connection);
    const waiting = [ask(connection, answer), ...Array.from({ length: 63 }, () => ask(connection))];
    await expect(ask(connection)).rejects.toMatchObject({ code: "ERR_RATE_LIMITED" });
    await untilOpen(open);
    open[0]?.(undefined);
    const types = (await Promise.all(waiting)).map(({ type }) => type);
    expect(new Set(types.slice(1))).toEqual(new Set(["anonymous"]));
  });

  it("cannot be taken in by a back end that names nobody", async () => {
    const judge: NtlmJudge = {
      judge: async () => ({ identity: { name: "", account: "" }, sessionBaseKey: new Uint8Array(16) }),
    };
    const connection = connectTo(serverOf({ judge }));
    const message = withoutMic(tokenOf(await ask(connection, TYPE_1)));
    await expect(ask(connection, `NTLM ${base64(message)}`)).rejects.toMatchObject({
      code: "ERR_AUTH_UNAVAILABLE",
    });
    expect(await ask(connection)).toEqual({ type: "anonymous" });
  });
});

describe("identities", () => {
  it("are proven again every quarter of an hour, however busy the connection is", async () => {
    const connection = connectTo(serverOf());
    expect(await logOnNtlm(connection)).toMatchObject({ type: "user" });
    const quarter = 15 * 60_000;
    for (let now = 0; now < quarter; now += 60_000) {
      expect(await ask(connection, undefined, { now })).toMatchObject({ type: "user" });
    }
    expect(await ask(connection, undefined, { now: quarter })).toEqual({ type: "anonymous" });
    expect(await ask(connection, undefined, { now: 0 })).toEqual({ type: "anonymous" });
  });

  it("never leak between connections, however 100 handshakes interleave", async () => {
    const names = Array.from({ length: 10 }, (_, i) => `user${i}`);
    const server = serverOf({
      accounts: names.map((name) => ({ name, password: `pw of ${name}` })),
      lockout: new Lockout({ threshold: 1000, addressThreshold: 10_000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(99), { minLength: 300, maxLength: 400 }), async (order) => {
        const users = Array.from({ length: 100 }, () => ({
          connection: connectTo(server),
          challenge: undefined as Uint8Array | undefined,
          isProven: false,
        }));
        for (const i of order) {
          const user = users[i];
          if (user === undefined) continue;
          const name = `user${i % 10}`;
          if (user.challenge === undefined) {
            user.challenge = tokenOf(await ask(user.connection, TYPE_1));
            user.isProven = false;
          } else {
            const credentials = { account: name, domain: "", password: `pw of ${name}` };
            const { message } = answerTo(user.challenge, { credentials });
            user.challenge = undefined;
            user.isProven = (await ask(user.connection, `NTLM ${base64(message)}`)).type === "user";
          }
        }
        // Whoever answered last is proven: all passwords are right.
        for (const [i, { connection, isProven, challenge }] of users.entries()) {
          expect(isProven).toBe(challenge === undefined && order.includes(i));
          const outcome = await ask(connection);
          expect(outcome.type === "user" ? outcome.identity.name : outcome.type).toBe(
            isProven ? `user${i % 10}` : "anonymous",
          );
        }
      }),
      { numRuns: 5 },
    );
  });
});

describe("the lock", () => {
  it("is shared by Basic and NTLM, and answers a right password like a wrong one", async () => {
    const server = serverOf({ lockout: new Lockout({ threshold: 2, lockMs: 1000 }) });
    const wrong = { credentials: { account: "alice", domain: "", password: "no" } };
    expect(await logOnNtlm(connectTo(server), wrong)).toMatchObject({ reason: "wrong password" });
    const basic = `Basic ${Buffer.from("alice:no").toString("base64")}`;
    expect(await ask(connectTo(server), basic)).toMatchObject({ reason: "wrong password" });
    expect(await logOnNtlm(connectTo(server))).toEqual({ type: "refused", reason: "locked", user: "alice" });
    expect(await ask(connectTo(server), BASIC)).toMatchObject({ reason: "locked" });
    expect(await logOnNtlm(connectTo(server, { address: "192.0.2.2" }))).toMatchObject({ type: "user" });
    expect(await ask(connectTo(server), BASIC, { now: 1000 })).toMatchObject({ type: "user" });
  });

  it("counts a name once, in whatever form and with whatever domain it is written", async () => {
    const server = serverOf({ lockout: new Lockout({ threshold: 3 }) });
    for (const account of ["alice", "X\\Alice", "ALICE@y"]) {
      const credentials = { account, domain: "", password: "no" };
      expect(await logOnNtlm(connectTo(server), { credentials })).toMatchObject({ reason: "wrong password" });
    }
    expect(await logOnNtlm(connectTo(server))).toMatchObject({ reason: "locked" });
  });

  it("lets no more guesses through when they are sent all at once", async () => {
    const { judge, open } = slowJudge();
    const server = serverOf({ judge, lockout: new Lockout({ threshold: 3 }) });
    const connections = Array.from({ length: 5 }, () => connectTo(server));
    const messages = await Promise.all(
      connections.map(async (connection) => withoutMic(tokenOf(await ask(connection, TYPE_1)))),
    );
    const guesses = connections.map((connection, i) =>
      ask(connection, `NTLM ${base64(messages[i] ?? new Uint8Array(0))}`),
    );
    await untilOpen(open, 5);
    for (const [i, answer] of open.entries()) {
      answer(i === 4 ? "Alice" : undefined);
      await guesses[i];
    }
    expect((await Promise.all(guesses)).map((guess) => guess.type === "refused" && guess.reason)).toEqual([
      ...Array.from({ length: 4 }, () => "wrong password"),
      "locked",
    ]);
  });

  it("does not count a back end that does not answer", async () => {
    const judge: NtlmJudge = { judge: () => Promise.reject(new AppError("ERR_AUTH_UNAVAILABLE", "down")) };
    const lockout = new Lockout({ threshold: 1 });
    await expect(logOnNtlm(connectTo(serverOf({ judge, lockout })))).rejects.toThrow("down");
    expect(lockout.size).toBe(0);
  });
});

/** Waits for the judge to be asked; each turn lets one more step of the machine run. */
async function untilOpen(open: readonly unknown[], count = 1): Promise<void> {
  for (let turns = 0; open.length < count; turns += 1) {
    if (turns === 10_000) throw new Error("the judge was not asked");
    await Promise.resolve();
  }
}

/** An answer to a challenge that states no time; the proof is right all the same. */
function withoutMic(challenge: Uint8Array): Uint8Array {
  const parsed = parseChallenge(challenge);
  if (parsed === undefined) throw new Error("no challenge");
  return answerTo(encodeChallenge({ ...parsed, targetInfo: new Uint8Array(4) })).message;
}
