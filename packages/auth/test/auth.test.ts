import { randomBytes } from "node:crypto";
import {
  Authenticator,
  BasicVerifier,
  basicScheme,
  isGranted,
  LocalJudge,
  Lockout,
  makeStoredAccount,
  type PasswordJudge,
  parseAccounts,
} from "@ckmesh/auth";
import { AppError, isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import type { BasicVerifierOptions } from "../src/basic/basic-verifier.js";
import { hashPassword } from "../src/local/password-hash.js";

/** Cheap to derive, so that tests measure logic. */
const LIGHT = "scrypt$1024$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
let stored = "";
beforeAll(async () => {
  stored = await hashPassword("pässword");
});

function judge(accounts: unknown = [{ name: "Alice", password: stored }]): LocalJudge {
  return new LocalJudge(randomBytes, parseAccounts({ accounts }));
}

function verifier(options: BasicVerifierOptions = {}): BasicVerifier {
  return new BasicVerifier(judge(), options);
}

function basic(text: string): string {
  return `Basic ${Buffer.from(text).toString("base64")}`;
}

function authenticator(options: { allowOverHttp?: boolean } = {}): Authenticator {
  return new Authenticator([
    basicScheme({ verifier: verifier(), realm: "MEDV", allowOverHttp: options.allowOverHttp ?? false }),
  ]);
}

/** Asks on a connection of its own. */
function ask(subject: Authenticator, authorization: string, isTls = true) {
  return subject
    .connect({ isTls, address: "192.0.2.1" })
    .authenticate({ authorization, isProxied: false, now: 0 });
}

function challenges(subject: Authenticator, isTls: boolean): readonly string[] {
  return subject.connect({ isTls, address: "192.0.2.1" }).challenges();
}

describe("Basic", () => {
  it.each(["Alice", "alice", "MEDV\\ALICE", "alice@medv.test"])(
    "accepts the account written as %s",
    async (name) => {
      const outcome = await ask(authenticator(), basic(`${name}:pässword`));
      expect(outcome).toEqual({
        type: "user",
        identity: { name: "Alice", account: "Alice" },
        scheme: "basic",
      });
    },
  );

  it("treats composed and decomposed characters as equal", async () => {
    const outcome = await ask(authenticator(), basic(`alice:${"pässword".normalize("NFD")}`));
    expect(outcome.type).toBe("user");
  });

  it.each([
    ["wrong password", basic("alice:password")],
    ["wrong password", basic("nobody:pässword")],
    ["malformed", basic("alice")],
    ["malformed", basic(":x")],
    ["malformed", basic("alice:a\u0000b")],
    ["malformed", "Basic %%%"],
    ["malformed", "Basic"],
    ["malformed", "Basic QUJD, Basic QUJD"],
    ["malformed", `Basic ${Buffer.from([0xff, 0x3a, 0x41]).toString("base64")}`],
    ["scheme not offered", "Bearer abc"],
    ["malformed", basic(`${"a".repeat(300)}:x`)],
  ])("refuses as %s: %s", async (reason, header) => {
    expect(await ask(authenticator(), header)).toMatchObject({ type: "refused", reason });
  });

  it("is offered over TLS only, unless allowed", () => {
    expect(challenges(authenticator(), true)).toEqual(['Basic realm="MEDV", charset="UTF-8"']);
    expect(challenges(authenticator(), false)).toEqual([]);
    expect(challenges(authenticator({ allowOverHttp: true }), false)).toHaveLength(1);
  });

  it("does not look at a credential where it is not offered", async () => {
    expect(await ask(authenticator(), basic("alice:pässword"), false)).toEqual({
      type: "anonymous",
    });
  });

  it("keeps a realm from ending its quoted string", () => {
    const scheme = basicScheme({ verifier: verifier(), realm: 'a"b\\c\r\nd', allowOverHttp: true });
    expect(scheme.challenge({ isTls: false, address: "192.0.2.1" })).toBe(
      'Basic realm="abcd", charset="UTF-8"',
    );
  });

  it("answers any header with an outcome", async () => {
    const subject = new Authenticator([
      basicScheme({
        verifier: new BasicVerifier(judge([{ name: "a", password: LIGHT }])),
        realm: "r",
        allowOverHttp: true,
      }),
    ]);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.base64String().map((t) => `Basic ${t}`),
        ),
        async (header) => {
          expect((await ask(subject, header)).type).toBe("refused");
        },
      ),
      { numRuns: 60 },
    );
  });
});

function wrong(i: number): string {
  return Buffer.from(`alice:no${i}`).toString("base64");
}

describe("BasicVerifier", () => {
  const right = Buffer.from("alice:pässword").toString("base64");

  it("checks a remembered credential 20 times faster than a new one", async () => {
    const subject = verifier();
    const first = performance.now();
    await subject.verify(right, "a", 0);
    const derived = performance.now() - first;
    // The fastest of many: a pause of the machine says nothing about the verifier.
    let remembered = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 20; i += 1) {
      const start = performance.now();
      await subject.verify(right, "a", 1); // oxlint-disable-line no-await-in-loop
      remembered = Math.min(remembered, performance.now() - start);
    }
    expect(remembered).toBeLessThan(derived / 20);
  });

  it("locks an account for one address only, tells nothing while locked, and unlocks with time", async () => {
    const subject = verifier({ lockout: new Lockout({ threshold: 2, lockMs: 1000 }) });
    await subject.verify(wrong(1), "a", 0);
    await subject.verify(wrong(2), "a", 0);
    expect(await subject.verify(right, "a", 999)).toMatchObject({ type: "refused", reason: "locked" });
    expect(await subject.verify(right, "b", 999)).toMatchObject({ type: "accepted" });
    expect(await subject.verify(right, "a", 1000)).toMatchObject({ type: "accepted" });
  });

  it("counts the same wrong password once, also when sent at once", async () => {
    const subject = verifier({ lockout: new Lockout({ threshold: 2 }) });
    await Promise.all([1, 1, 1, 1].map((i) => subject.verify(wrong(i), "a", 0)));
    await subject.verify(wrong(1), "a", 0);
    expect(await subject.verify(right, "a", 0)).toMatchObject({ type: "accepted" });
  });

  it("forgets remembered credentials when the accounts change", async () => {
    const local = judge();
    const subject = new BasicVerifier(local);
    await subject.verify(right, "a", 0);
    local.replaceAccounts(parseAccounts(null));
    expect(await subject.verify(right, "a", 1)).toMatchObject({ type: "accepted" });
    subject.forget();
    expect(await subject.verify(right, "a", 1)).toMatchObject({ type: "refused" });
  });

  it("asks again after the remembered time", async () => {
    const subject = verifier({ cacheMs: 10 });
    await subject.verify(right, "a", 0);
    const start = performance.now();
    await subject.verify(right, "a", 10);
    expect(performance.now() - start).toBeGreaterThan(5);
  });

  it("asks any judge once for a right credential and once for a wrong one", async () => {
    const asked: string[] = [];
    const directory: PasswordJudge = {
      async check({ account, domain }, password) {
        asked.push(`${domain}\\${account}`);
        return password === "right" ? { name: `${domain}\\${account}`, account, domain } : undefined;
      },
    };
    const subject = new BasicVerifier(directory, { defaultLogonDomain: "MEDV" });
    const sent = ["alice:right", "alice:no", "X\\alice:right", "alice@y.test:right"];
    for (const text of [...sent, ...sent]) {
      await subject.verify(Buffer.from(text).toString("base64"), "a", 0);
    }
    expect(asked).toEqual(["MEDV\\alice", "MEDV\\alice", "X\\alice", "y.test\\alice"]);
  });

  it("does not remember what a judge that does not answer would have said", async () => {
    let isDown = true;
    const directory: PasswordJudge = {
      async check({ account }) {
        if (isDown) throw new AppError("ERR_AUTH_UNAVAILABLE", "no answer");
        return { name: account, account };
      },
    };
    const subject = new BasicVerifier(directory, { lockout: new Lockout({ threshold: 1 }) });
    await expect(subject.verify(right, "a", 0)).rejects.toMatchObject({ code: "ERR_AUTH_UNAVAILABLE" });
    isDown = false;
    expect(await subject.verify(right, "a", 0)).toMatchObject({ type: "accepted" });
  });

  it("turns away what exceeds the queue with ERR_RATE_LIMITED and serves the rest", async () => {
    const subject = new BasicVerifier(judge([{ name: "alice", password: LIGHT }]), {
      lockout: new Lockout({ threshold: 1000, addressThreshold: 1000 }),
    });
    const attempts = Array.from({ length: 80 }, (_, i) => subject.verify(wrong(i), `a${i}`, 0));
    const codes = (await Promise.allSettled(attempts)).map((r) =>
      r.status === "fulfilled" ? r.value.type : isAppError(r.reason) ? r.reason.code : "other",
    );
    expect(codes.filter((c) => c === "refused")).toHaveLength(66);
    expect(codes.filter((c) => c === "ERR_RATE_LIMITED")).toHaveLength(14);
  }, 60_000);
});

describe("Lockout", () => {
  it("stops spraying over accounts from one address", () => {
    const lockout = new Lockout({ addressThreshold: 3 });
    for (const user of ["a", "b", "c"]) lockout.failed(user, "x", 0);
    expect(lockout.isLocked("d", "x", 0)).toBe(true);
    expect(lockout.isLocked("d", "y", 0)).toBe(false);
  });

  it("keeps at most 20,000 counters whatever is tried", () => {
    const lockout = new Lockout();
    for (let i = 0; i < 30_000; i += 1) lockout.failed(`u${i}`, `a${i}`, 0);
    expect(lockout.size).toBe(20_000);
  });

  it.each(["Alice ", "  alice", "\u00e1lice", "\uff41lice", "ali\u0301ce"])(
    "counts %j as the name that a directory finds by it",
    (spelling) => {
      const lockout = new Lockout({ threshold: 2 });
      lockout.failed("alice", "x", 0);
      lockout.failed(spelling, "x", 0);
      expect(lockout.isLocked("alice", "x", 0)).toBe(true);
      expect(lockout.isLocked("alicia", "x", 0)).toBe(false);
    },
  );

  it("starts from zero after a success", () => {
    const lockout = new Lockout({ threshold: 2 });
    lockout.failed("a", "x", 0);
    lockout.succeeded("A", "x");
    lockout.failed("a", "x", 0);
    expect(lockout.isLocked("a", "x", 0)).toBe(false);
  });
});

describe("parseAccounts", () => {
  it.each([
    { accounts: [{ name: "a b", password: LIGHT }] },
    { accounts: [{ name: "everyone", password: LIGHT }] },
    { accounts: [{ name: "a", password: "secret" }] },
    { accounts: [{ name: "a", password: LIGHT, nt: "a4f4" }] },
    { accounts: [{ name: "a", password: LIGHT, nt: "x".repeat(32) }] },
    { accounts: [{ name: "a", password: LIGHT, nt: 12_345 }] },
    { accounts: [{ name: "a", password: LIGHT.replace("1024", "1048576") }] },
    { accounts: [{ name: "a", password: LIGHT.replace("1024", "1000") }] },
    {
      accounts: [
        { name: "a", password: LIGHT },
        { name: "A", password: LIGHT },
      ],
    },
    { accounts: "x" },
    [],
  ])("refuses %j with ERR_CONFIG_INVALID", (value) =>
    expect(() => parseAccounts(value)).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" })),
  );
});

describe("makeStoredAccount", () => {
  it("keeps the NT hash, which parses back", async () => {
    const made = await makeStoredAccount("alice", "Password", true);
    expect(made.nt).toBe("a4f49c406510bdcab6824ee7c30fd852");
    expect(parseAccounts({ accounts: [made] }).find("ALICE")?.stored).toEqual(made);
  });

  it("keeps none when it is told so, and such an account is one of Basic", async () => {
    const made = await makeStoredAccount("alice", "Password", false);
    expect(made).not.toHaveProperty("nt");
    expect(parseAccounts({ accounts: [made] }).find("alice")?.ntHash).toBeUndefined();
  });
});

describe("isGranted", () => {
  const rights = { read: ["Everyone"], change: ["Alice"], admin: ["everyone"] };

  it("lets nobody known read only where anonymous reading is on", () => {
    expect(isGranted(rights, "read", { user: undefined, anonymousEnabled: false })).toBe(false);
    expect(isGranted(rights, "read", { user: undefined, anonymousEnabled: true })).toBe(true);
  });

  it("never gives change or admin to nobody known", () => {
    expect(isGranted(rights, "admin", { user: undefined, anonymousEnabled: true })).toBe(false);
  });

  it("compares names without case and keeps others out", () => {
    expect(isGranted(rights, "change", { user: "ALICE", anonymousEnabled: false })).toBe(true);
    expect(isGranted(rights, "change", { user: "bob", anonymousEnabled: false })).toBe(false);
  });
});
