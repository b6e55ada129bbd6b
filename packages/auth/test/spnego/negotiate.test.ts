import {
  isNtlmAcceptance,
  type KerberosJudge,
  makeNtlmNegotiate,
  unwrapNtlmChallenge,
  wrapNtlmAnswer,
  wrapNtlmNegotiate,
} from "@ckmesh/auth";
import { describe, expect, it } from "vitest";
import {
  encodeNegTokenInit,
  encodeNegTokenResp,
  type Mechanism,
  parseSpnego,
} from "../../src/spnego/spnego.js";
import {
  answerTo,
  ask,
  base64,
  connectTo,
  logOnNtlm,
  logOnSpnego,
  PASSWORD,
  serverOf,
  tokenOf,
} from "../logon-rig.js";

const ALICE = { type: "user", identity: { name: "Alice", account: "Alice" }, scheme: "negotiate" };
const MEDV_ALICE = { name: "MEDV\\alice", account: "alice", domain: "MEDV" };
const TICKET = new Uint8Array(600).fill(7);

/** Takes one kind of token only. */
function kerberosOf(expected: Uint8Array): KerberosJudge & { readonly seen: Uint8Array[] } {
  const seen: Uint8Array[] = [];
  return {
    seen,
    async accept(token) {
      seen.push(token);
      return base64(token) === base64(expected)
        ? { identity: MEDV_ALICE, reply: new Uint8Array([1, 2, 3]) }
        : undefined;
    },
  };
}

function init(mechanisms: readonly Mechanism[], token: Uint8Array): Uint8Array {
  return encodeNegTokenInit(mechanisms, token);
}

describe("Negotiate with NTLM", () => {
  it("proves a user, and both sides sign the list of mechanisms", async () => {
    const connection = connectTo(serverOf({ requireMic: true }));
    const outcome = await logOnSpnego(connection);
    expect(outcome).toMatchObject({ ...ALICE, reply: expect.stringMatching(/^Negotiate oR/) });
    const reply = parseSpnego(
      Buffer.from((outcome.type === "user" && outcome.reply?.slice(10)) || "", "base64"),
    );
    expect(reply).toMatchObject({ type: "resp", negState: 0, mechListMic: expect.any(Uint8Array) });
    expect(await ask(connection)).toEqual(ALICE);
  });

  it("takes bare NTLM messages", async () => {
    expect(await logOnNtlm(connectTo(serverOf()), {}, "Negotiate")).toEqual(ALICE);
  });

  it("takes an answer without a signed list, and then signs none", async () => {
    const connection = connectTo(serverOf());
    const first = await ask(connection, `Negotiate ${base64(wrapNtlmNegotiate(makeNtlmNegotiate()))}`);
    const answer = answerTo(unwrapNtlmChallenge(tokenOf(first)) ?? new Uint8Array(0));
    const token = encodeNegTokenResp({ responseToken: answer.message });
    const outcome = await ask(connection, `Negotiate ${base64(token)}`);
    expect(outcome).toEqual({ ...ALICE, reply: `Negotiate ${base64(encodeNegTokenResp({ negState: 0 }))}` });
  });

  it("refuses a list that was changed on the way", async () => {
    const connection = connectTo(serverOf());
    const list = init(["ntlm", "kerberos"], makeNtlmNegotiate());
    const first = await ask(connection, `Negotiate ${base64(list)}`);
    const answer = answerTo(unwrapNtlmChallenge(tokenOf(first)) ?? new Uint8Array(0));
    // The client signs the list that it sent: NTLM only.
    expect(await ask(connection, `Negotiate ${base64(wrapNtlmAnswer(answer))}`)).toEqual({
      type: "refused",
      reason: "MIC wrong",
      user: "Alice",
    });
    expect(await ask(connection)).toEqual({ type: "anonymous" });
  });

  it("asks for a Type 1 when the client meant its token for another mechanism", async () => {
    const connection = connectTo(serverOf());
    const first = await ask(connection, `Negotiate ${base64(init(["kerberos", "ntlm"], TICKET))}`);
    expect(parseSpnego(tokenOf(first))).toMatchObject({
      negState: 1,
      mechanism: "ntlm",
      responseToken: undefined,
    });
    const second = await ask(
      connection,
      `Negotiate ${base64(encodeNegTokenResp({ responseToken: makeNtlmNegotiate() }))}`,
    );
    const answer = answerTo(unwrapNtlmChallenge(tokenOf(second)) ?? new Uint8Array(0));
    const token = encodeNegTokenResp({ responseToken: answer.message });
    expect(await ask(connection, `Negotiate ${base64(token)}`)).toMatchObject(ALICE);
  });

  it("does not mix a handshake within SPNEGO with bare messages", async () => {
    const connection = connectTo(serverOf());
    const first = await ask(connection, `Negotiate ${base64(wrapNtlmNegotiate(makeNtlmNegotiate()))}`);
    const answer = answerTo(unwrapNtlmChallenge(tokenOf(first)) ?? new Uint8Array(0));
    expect(await ask(connection, `Negotiate ${base64(answer.message)}`)).toMatchObject({
      reason: "no challenge pending",
    });
  });

  it.each([
    ["a wrong password", { credentials: { account: "alice", domain: "", password: "no" } }, "wrong password"],
    ["a wrong channel binding", { channelBinding: new Uint8Array(16).fill(1) }, "channel binding wrong"],
  ])("refuses %s", async (_, options, reason) => {
    expect(await logOnSpnego(connectTo(serverOf()), options)).toMatchObject({ type: "refused", reason });
  });

  it.each([
    [
      "an answer without a beginning",
      encodeNegTokenResp({ responseToken: makeNtlmNegotiate() }),
      "no challenge pending",
    ],
    ["rubbish", new Uint8Array([1, 2, 3]), "malformed"],
    ["a list of mechanisms without NTLM", init(["kerberos"], TICKET), "no common mechanism"],
  ])("refuses %s", async (_, token, reason) => {
    expect(await ask(connectTo(serverOf()), `Negotiate ${base64(token)}`)).toEqual({
      type: "refused",
      reason,
    });
  });

  it("is not taken where Kerberos only is offered", async () => {
    const connection = connectTo(serverOf({ withoutNtlm: true }));
    for (const token of [makeNtlmNegotiate(), wrapNtlmNegotiate(makeNtlmNegotiate())]) {
      expect(await ask(connection, `Negotiate ${base64(token)}`)).toMatchObject({
        reason: "no common mechanism",
      });
    }
  });
});

describe("the client within SPNEGO", () => {
  it("does not trust a server that signs another list", async () => {
    const connection = connectTo(serverOf());
    const first = await ask(connection, `Negotiate ${base64(wrapNtlmNegotiate(makeNtlmNegotiate()))}`);
    const answer = answerTo(unwrapNtlmChallenge(tokenOf(first)) ?? new Uint8Array(0));
    const forged = encodeNegTokenResp({ negState: 0, mechListMic: new Uint8Array(16) });
    expect(isNtlmAcceptance(forged, answer)).toBe(false);
    expect(isNtlmAcceptance(encodeNegTokenResp({ negState: 2 }), answer)).toBe(false);
    expect(isNtlmAcceptance(new Uint8Array([0]), answer)).toBe(false);
  });

  it("finds no challenge in a token that rejects or chooses Kerberos", () => {
    expect(unwrapNtlmChallenge(encodeNegTokenResp({ negState: 2, responseToken: TICKET }))).toBeUndefined();
    expect(
      unwrapNtlmChallenge(encodeNegTokenResp({ mechanism: "kerberos", responseToken: TICKET })),
    ).toBeUndefined();
  });
});

describe("Negotiate with Kerberos", () => {
  const token = init(["microsoftKerberos", "kerberos", "ntlm"], TICKET);
  const header = `Negotiate ${base64(token)}`;

  it("hands the whole token to the judge, and its answer to the client", async () => {
    const kerberos = kerberosOf(token);
    const connection = connectTo(serverOf({ kerberos }));
    expect(await ask(connection, header)).toEqual({
      type: "user",
      identity: MEDV_ALICE,
      scheme: "negotiate",
      reply: "Negotiate AQID",
    });
    expect(kerberos.seen).toEqual([token]);
  });

  it("takes tokens of Kerberos without SPNEGO around them", async () => {
    // [APPLICATION 0], the OID, and what is no DER.
    const bare = new Uint8Array(Buffer.from("600d06092a864886f7120102020100", "hex"));
    expect(
      await ask(connectTo(serverOf({ kerberos: kerberosOf(bare) })), `Negotiate ${base64(bare)}`),
    ).toMatchObject({
      type: "user",
    });
  });

  it("refuses what the judge does not accept", async () => {
    const connection = connectTo(serverOf({ kerberos: kerberosOf(TICKET) }));
    expect(await ask(connection, header)).toEqual({ type: "refused", reason: "Kerberos refused" });
  });

  it.each([
    [true, { type: "user", identity: MEDV_ALICE, scheme: "negotiate" }],
    [false, { type: "anonymous" }],
  ])("with authPersistNonNTLM %s makes of the next request %j", async (authPersistNonNTLM, expected) => {
    const connection = connectTo(
      serverOf({ kerberos: kerberosOf(token), persistence: { authPersistNonNTLM } }),
    );
    await ask(connection, header);
    expect(await ask(connection)).toEqual(expected);
  });

  it("goes on with NTLM where no keytab is", async () => {
    expect((await ask(connectTo(serverOf()), header)).type).toBe("continue");
  });

  it("goes on with NTLM over TLS where a channel binding is demanded, which a ticket cannot show", async () => {
    const extendedProtection = { tokenChecking: "Require", spns: [] } as const;
    const server = serverOf({ kerberos: kerberosOf(token), extendedProtection });
    expect((await ask(connectTo(server), header)).type).toBe("continue");
    expect((await ask(connectTo(server, { isTls: false }), header)).type).toBe("user");
  });

  it("leaves NTLM as it is", async () => {
    const server = serverOf({ kerberos: kerberosOf(token) });
    const credentials = { account: "alice", domain: "", password: PASSWORD };
    expect(await logOnSpnego(connectTo(server), { credentials })).toMatchObject(ALICE);
  });
});
