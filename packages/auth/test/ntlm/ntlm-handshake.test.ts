import { makeNtlmNegotiate } from "@ckmesh/auth";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Lockout } from "../../src/lockout.js";
import { AV, encodeAvPairs, parseAvPairs } from "../../src/ntlm/av-pairs.js";
import { combineFlags, NTLM_FLAG } from "../../src/ntlm/ntlm-flags.js";
import {
  encodeAuthenticate,
  encodeChallenge,
  encodeNegotiate,
  MIC_OFFSET,
  parseAuthenticate,
  parseChallenge,
} from "../../src/ntlm/ntlm-messages.js";
import { answerTo, ask, base64, connectTo, logOnNtlm, PASSWORD, serverOf, tokenOf } from "../logon-rig.js";

const alice = { account: "alice", domain: "MEDV", password: PASSWORD };
const OEM_ONLY = encodeNegotiate({
  flags: combineFlags(NTLM_FLAG.oem, NTLM_FLAG.ntlm, NTLM_FLAG.requestTarget, NTLM_FLAG.alwaysSign),
});

/** Takes the pairs of the challenge away: a server from before they were there. */
function withoutInfo(challenge: Uint8Array, keep: readonly number[] = []): Uint8Array {
  const parsed = parseChallenge(challenge);
  if (parsed === undefined) throw new Error("no challenge");
  const pairs = [...(parseAvPairs(parsed.targetInfo) ?? [])].filter(([id]) => keep.includes(id));
  return encodeChallenge({ ...parsed, targetInfo: encodeAvPairs(new Map(pairs)) });
}

describe("an NTLM handshake", () => {
  it("proves a user whose password is right", async () => {
    expect(await logOnNtlm(connectTo(serverOf()))).toEqual({
      type: "user",
      identity: { name: "Alice", account: "Alice" },
      scheme: "ntlm",
    });
  });

  it.each([
    { account: "ALICE", domain: "" },
    { account: "alice@medv.test", domain: "" },
    { account: "MEDV\\alice", domain: "" },
    { account: "alice", domain: "elsewhere" },
  ])("takes the name written as %j", async (name) => {
    const credentials = { ...name, password: PASSWORD };
    expect(await logOnNtlm(connectTo(serverOf()), { credentials })).toMatchObject({ type: "user" });
  });

  it("proves whoever has the password, and nobody else, whatever name, domain and password", async () => {
    const name = fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }).filter((text) => {
      return /^[^\p{C}\s"/\\[\]:;|=,+*?<>@]{1,60}$/u.test(text) && text === text.normalize("NFC");
    });
    await fc.assert(
      fc.asyncProperty(
        name,
        fc.string({ maxLength: 30 }).filter((text) => !/[\p{C}]/u.test(text)),
        fc.string({ maxLength: 40, unit: "binary" }),
        fc.boolean(),
        async (account, domain, password, isRight) => {
          fc.pre(!["everyone", "anonymous", "-"].includes(account.toLowerCase()));
          const server = serverOf({ accounts: [{ name: account, password }], requireMic: true });
          const sent = isRight ? password : `${password}x`;
          const outcome = await logOnNtlm(connectTo(server), {
            credentials: { account, domain, password: sent },
          });
          expect(outcome.type).toBe(isRight ? "user" : "refused");
        },
      ),
      { numRuns: 100 },
    );
  });

  it("is bound to the client's channel and service even if somebody between takes the server's pairs away", async () => {
    for (const [options, extendedProtection, reason] of [
      [
        { channelBinding: new Uint8Array(16).fill(7) },
        { tokenChecking: "Allow", spns: [] },
        "channel binding wrong",
      ],
      [{}, { tokenChecking: "Allow", spns: ["HTTP/other.medv.test"] }, "service name wrong"],
    ] as const) {
      const connection = connectTo(serverOf({ extendedProtection }));
      const challenge = tokenOf(await ask(connection, `NTLM ${base64(makeNtlmNegotiate())}`));
      const { message } = answerTo(withoutInfo(challenge), options);
      expect(await ask(connection, `NTLM ${base64(message)}`)).toMatchObject({ type: "refused", reason });
    }
  });

  it("answers OEM to a client without Unicode, and takes its answer", async () => {
    const connection = connectTo(serverOf());
    const challenge = tokenOf(await ask(connection, `NTLM ${base64(OEM_ONLY)}`));
    expect(parseChallenge(challenge)?.targetName).toBe("MEDV");
    const answer = answerTo(challenge, { negotiate: OEM_ONLY });
    expect(answer.flags & NTLM_FLAG.unicode).toBe(0);
    expect(await ask(connection, `NTLM ${base64(answer.message)}`)).toMatchObject({ type: "user" });
  });

  it("is refused with NTLMv1, which a lock does not count", async () => {
    const lockout = new Lockout({ threshold: 1 });
    const server = serverOf({ lockout });
    const outcome = await logOnNtlm(connectTo(server), {}, "NTLM", (message) => {
      const parsed = parseAuthenticate(message);
      if (parsed === undefined) throw new Error("no Type 3");
      return encodeAuthenticate({ ...parsed, ntResponse: new Uint8Array(24) });
    });
    expect(outcome).toEqual({ type: "refused", reason: "NTLMv1", user: "alice" });
    expect(await logOnNtlm(connectTo(server))).toMatchObject({ type: "user" });
  });

  it.each([
    ["no user", "anonymous logon", (m: Parsed) => ({ ...m, user: "" })],
    [
      "the anonymous flag",
      "anonymous logon",
      (m: Parsed) => ({ ...m, flags: combineFlags(m.flags, NTLM_FLAG.anonymous) }),
    ],
    ["no response", "malformed", (m: Parsed) => ({ ...m, ntResponse: new Uint8Array(0) })],
    ["47 bytes of response", "malformed", (m: Parsed) => ({ ...m, ntResponse: m.ntResponse.slice(0, 47) })],
    [
      "a response of another version",
      "malformed",
      (m: Parsed) => ({ ...m, ntResponse: m.ntResponse.map((byte, i) => (i === 17 ? 2 : byte)) }),
    ],
    ["a domain and no user", "malformed", (m: Parsed) => ({ ...m, user: "MEDV\\" })],
    ["a line break in the name", "malformed", (m: Parsed) => ({ ...m, user: "alice\r\n" })],
    ["another name than the proof covers", "wrong password", (m: Parsed) => ({ ...m, user: "bob" })],
  ])("is refused with %s: %s", async (_, reason, change) => {
    const outcome = await logOnNtlm(connectTo(serverOf()), {}, "NTLM", (message) => {
      const parsed = parseAuthenticate(message);
      if (parsed === undefined) throw new Error("no Type 3");
      return encodeAuthenticate(change(parsed));
    });
    expect(outcome).toMatchObject({ type: "refused", reason });
  });

  it("is refused for an account without an NT hash and for one that does not exist alike", async () => {
    const outcomes = ["nobody", "alice"].map((account) =>
      logOnNtlm(connectTo(serverOf({ accounts: [] })), { credentials: { ...alice, account } }),
    );
    expect(await Promise.all(outcomes)).toEqual([
      { type: "refused", reason: "wrong password", user: "nobody" },
      { type: "refused", reason: "wrong password", user: "alice" },
    ]);
  });
});

type Parsed = NonNullable<ReturnType<typeof parseAuthenticate>>;

describe("the message integrity code", () => {
  it("is sent when the server states its time, with 24 zero bytes of LM response", async () => {
    const challenge = tokenOf(await ask(connectTo(serverOf()), `NTLM ${base64(makeNtlmNegotiate())}`));
    const parsed = parseAuthenticate(answerTo(challenge).message);
    expect(parsed).toMatchObject({ payloadOffset: 88, lmResponse: new Uint8Array(24) });
  });

  it("is not sent when the server states no time, and that server accepts", async () => {
    const connection = connectTo(serverOf());
    const challenge = tokenOf(await ask(connection, `NTLM ${base64(makeNtlmNegotiate())}`));
    const answer = answerTo(withoutInfo(challenge, [AV.netbiosDomain, AV.netbiosHost]));
    expect(parseAuthenticate(answer.message)?.payloadOffset).toBe(MIC_OFFSET);
    expect(parseAuthenticate(answer.message)?.lmResponse).not.toEqual(new Uint8Array(24));
    expect(await ask(connection, `NTLM ${base64(answer.message)}`)).toMatchObject({ type: "user" });
  });

  it("can be demanded", async () => {
    const connection = connectTo(serverOf({ requireMic: true }));
    const challenge = tokenOf(await ask(connection, `NTLM ${base64(makeNtlmNegotiate())}`));
    const answer = answerTo(withoutInfo(challenge));
    expect(await ask(connection, `NTLM ${base64(answer.message)}`)).toEqual({
      type: "refused",
      reason: "MIC missing",
      user: "Alice",
    });
  });

  it("is refused when anything of the three messages changed, which a lock does not count", async () => {
    const server = serverOf({ lockout: new Lockout({ threshold: 1 }) });
    const flipped = await logOnNtlm(connectTo(server), {}, "NTLM", (message) =>
      message.map((byte, i) => (i === MIC_OFFSET + 3 ? byte ^ 1 : byte)),
    );
    expect(flipped).toEqual({ type: "refused", reason: "MIC wrong", user: "Alice" });
    // The client signs a Type 1 that it did not send: somebody took flags out on the way.
    const connection = connectTo(server);
    const challenge = tokenOf(await ask(connection, `NTLM ${base64(OEM_ONLY)}`));
    const answer = answerTo(challenge, { negotiate: makeNtlmNegotiate() });
    expect(await ask(connection, `NTLM ${base64(answer.message)}`)).toMatchObject({ reason: "MIC wrong" });
    expect(await logOnNtlm(connectTo(server))).toMatchObject({ type: "user" });
  });

  it("is refused when it is announced and not there", async () => {
    const outcome = await logOnNtlm(connectTo(serverOf()), {}, "NTLM", (message) => {
      const parsed = parseAuthenticate(message);
      if (parsed === undefined) throw new Error("no Type 3");
      return encodeAuthenticate({ ...parsed, payloadOffset: MIC_OFFSET });
    });
    expect(outcome).toMatchObject({ type: "refused", reason: "MIC wrong" });
  });
});

describe("extended protection", () => {
  const other = new Uint8Array(16).fill(9);
  const spns = ["HTTP/images.medv.test"];
  const none = new Uint8Array(16);
  const elsewhere = "HTTP/elsewhere.medv.test";
  const plain = { isTls: false, channelBinding: none };
  const noService = { channelBinding: none, servicePrincipal: "" };
  it.each([
    ["None", "a wrong binding", { channelBinding: other }, {}, [], "user"],
    ["Allow", "the right binding", {}, {}, [], "user"],
    ["Allow", "no binding", { channelBinding: none }, {}, [], "user"],
    ["Allow", "a wrong binding", { channelBinding: other }, {}, [], "channel binding wrong"],
    ["Allow", "a binding where there is no TLS", {}, plain, [], "channel binding wrong"],
    ["Allow", "a listed service", {}, {}, spns, "user"],
    [
      "Allow",
      "a listed service in other case",
      { servicePrincipal: "http/IMAGES.medv.test" },
      {},
      spns,
      "user",
    ],
    ["Allow", "no service", { servicePrincipal: "" }, {}, spns, "user"],
    ["Allow", "another service", { servicePrincipal: elsewhere }, {}, spns, "service name wrong"],
    ["Require", "the right binding", {}, {}, [], "user"],
    ["Require", "no binding", { channelBinding: none }, {}, [], "channel binding missing"],
    ["Require", "a wrong binding", { channelBinding: other }, {}, [], "channel binding wrong"],
    ["Require", "a listed service without TLS", { channelBinding: none }, plain, spns, "user"],
    ["Require", "no service without TLS", noService, plain, spns, "service name missing"],
    ["Require", "a service without TLS or list", { channelBinding: none }, plain, [], "service name wrong"],
  ] as const)("%s, with %s", async (tokenChecking, _, client, facts, list, expected) => {
    const server = serverOf({
      extendedProtection: { tokenChecking, spns: list },
      lockout: new Lockout({ threshold: 1 }),
    });
    const outcome = await logOnNtlm(connectTo(server, facts), client);
    expect(outcome.type === "refused" ? outcome.reason : outcome.type).toBe(expected);
    // Nothing of this is a wrong password.
    expect(await logOnNtlm(connectTo(server))).toMatchObject({ type: "user" });
  });
});
