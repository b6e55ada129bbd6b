import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { makeNtlmNegotiate, unwrapNtlmChallenge, wrapNtlmAnswer, wrapNtlmNegotiate } from "@ckmesh/auth";
import { randomInt, seededRandom } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Lockout } from "../src/lockout.js";
import { parseChallenge } from "../src/ntlm/ntlm-messages.js";
import { encodeNegTokenInit } from "../src/spnego/spnego.js";
import { answerTo, ask, base64, connectTo, serverOf, tokenOf } from "./logon-rig.js";

/** Never locks: each token is judged by itself. */
const patient = () => serverOf({ lockout: new Lockout({ threshold: 1e9, addressThreshold: 1e9 }) });
const noTicket = encodeNegTokenInit(["kerberos", "ntlm"], new Uint8Array(900).fill(3));
const kerberos = { accept: async () => undefined };

interface Sent {
  readonly name: string;
  readonly scheme: string;
  /** What came before on the connection, and the token to be damaged. */
  readonly prepare: (connection: ReturnType<typeof connectTo>) => Promise<Uint8Array>;
}

const TOKENS: readonly Sent[] = [
  { name: "a Type 1", scheme: "NTLM", prepare: async () => makeNtlmNegotiate() },
  {
    name: "a Type 3",
    scheme: "NTLM",
    prepare: async (connection) =>
      answerTo(tokenOf(await ask(connection, `NTLM ${base64(makeNtlmNegotiate())}`))).message,
  },
  {
    name: "a NegTokenInit with NTLM",
    scheme: "Negotiate",
    prepare: async () => wrapNtlmNegotiate(makeNtlmNegotiate()),
  },
  { name: "a NegTokenInit with Kerberos", scheme: "Negotiate", prepare: async () => noTicket },
  {
    name: "a NegTokenResp with a Type 3",
    scheme: "Negotiate",
    prepare: async (connection) => {
      const first = await ask(connection, `Negotiate ${base64(wrapNtlmNegotiate(makeNtlmNegotiate()))}`);
      return wrapNtlmAnswer(answerTo(unwrapNtlmChallenge(tokenOf(first)) ?? new Uint8Array(0)));
    },
  },
];

describe.each(TOKENS)("$name", ({ scheme, prepare }) => {
  it("cut off at each of its bytes is refused, or was no answer yet", async () => {
    const server = patient();
    const { byteLength } = await prepare(connectTo(server));
    for (let length = 0; length < byteLength; length += 1) {
      const connection = connectTo(server);
      const token = (await prepare(connection)).subarray(0, length);
      const outcome = await ask(connection, `${scheme} ${base64(token)}`);
      expect(["refused", "continue"]).toContain(outcome.type);
      expect(await ask(connection)).toEqual({ type: "anonymous" });
    }
  });

  it("changed in 2,000 ways never throws, and proves the one user whose password it has at most", async () => {
    const server = serverOf({ lockout: new Lockout({ threshold: 1e9, addressThreshold: 1e9 }), kerberos });
    const random = seededRandom(20_261);
    const types = new Set<string>();
    for (let i = 0; i < 2000; i += 1) {
      const connection = connectTo(server);
      const token = mutate(await prepare(connection), (below) => randomInt(random, below));
      const outcome = await ask(connection, `${scheme} ${base64(token)}`);
      // A change that does no harm, as to the framing that nobody looks at, may still prove the one user.
      types.add(outcome.type === "user" ? `user ${outcome.identity.name}` : outcome.type);
    }
    expect([...types].filter((type) => !["refused", "continue", "user Alice"].includes(type))).toEqual([]);
    expect(types).toContain("refused");
  });
});

/** One to four changes: a bit, a byte, bytes cut out, bytes doubled. */
function mutate(token: Uint8Array, below: (n: number) => number): Uint8Array {
  let bytes = [...token];
  for (let changes = 1 + below(4); changes > 0; changes -= 1) {
    const at = below(Math.max(bytes.length, 1));
    const kind = below(4);
    if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
    if (kind === 1) bytes[at] = below(256);
    if (kind === 2) bytes = [...bytes.slice(0, at), ...bytes.slice(at + 1 + below(16))];
    if (kind === 3) bytes = [...bytes.slice(0, at), ...bytes.slice(Math.max(0, at - below(16)))];
  }
  return Uint8Array.from(bytes.map((byte) => byte & 0xff));
}

describe("any header", () => {
  it("gets an outcome, and proves nobody", async () => {
    const server = patient();
    const scheme = fc.constantFrom("NTLM", "Negotiate", "negotiate", "ntlm", "Basic");
    const start = fc.constantFrom("", "TlRMTVNTUAAB", "TlRMTVNTUAAD", "YIIB", "oYIB");
    await fc.assert(
      fc.asyncProperty(scheme, start, fc.base64String({ maxLength: 2000 }), async (name, prefix, rest) => {
        const connection = connectTo(server);
        const outcome = await ask(connection, `${name} ${prefix}${rest}`);
        expect(["refused", "continue"]).toContain(outcome.type);
        expect(await ask(connection)).toEqual({ type: "anonymous" });
      }),
      { numRuns: 500 },
    );
  });

  it.each([40_000, 70_000])("of %i characters is refused", async (size) => {
    for (const scheme of ["NTLM", "Negotiate"]) {
      const outcome = await ask(connectTo(patient()), `${scheme} ${"TlRM".padEnd(size, "A")}`);
      expect(outcome).toEqual({ type: "refused", reason: "malformed" });
    }
  });

  it("from a server never throws at the client", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(parseChallenge(bytes)).toBeUndefined();
        const challenge = Uint8Array.from([...Buffer.from("NTLMSSP\0\u0002\0\0\0", "latin1"), ...bytes]);
        expect([undefined, 8]).toContain(parseChallenge(challenge)?.challenge.byteLength);
        expect(unwrapNtlmChallenge(bytes)).not.toBe(bytes);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("memory", () => {
  it("does not grow with 20,000 begun handshakes on connections that are gone", async () => {
    const server = patient();
    const begin = async (count: number) => {
      for (let i = 0; i < count; i += 1) await ask(connectTo(server), `NTLM ${base64(makeNtlmNegotiate())}`);
    };
    await begin(2000);
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    await begin(20_000);
    collectGarbage();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(2 * 1024 * 1024);
  });
});

/** The collector is behind a flag of V8. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  const gc: unknown = runInNewContext("gc");
  if (typeof gc !== "function") throw new Error("V8 gives no collector");
  Reflect.apply(gc, undefined, []);
}
