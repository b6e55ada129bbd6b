import { randomBytes } from "node:crypto";
import {
  answerNtlmChallenge,
  makeNtlmNegotiate,
  type NtlmAnswer,
  unwrapNtlmChallenge,
  wrapNtlmAnswer,
  wrapNtlmNegotiate,
} from "@ckmesh/auth";
import { authorization, challengeToken, type RawAnswer, type RawConnection } from "./raw-connection.js";

export interface LocalUser {
  readonly account: string;
  readonly password: string;
}

/** How NTLM's messages travel: bare, or inside SPNEGO. */
export type NtlmScheme = "NTLM" | "Negotiate";

const RANGE = "Range: bytes=0-1023";

/** The first message as it goes into the header. */
export function firstToken(scheme: NtlmScheme): Uint8Array {
  return scheme === "NTLM" ? makeNtlmNegotiate() : wrapNtlmNegotiate(makeNtlmNegotiate());
}

/** Begins a handshake; returns the token that would finish it. */
export async function begin(
  connection: RawConnection,
  path: string,
  scheme: NtlmScheme,
  user: LocalUser,
): Promise<Uint8Array> {
  const answer = await connection.get(path, [authorization(scheme, firstToken(scheme))]);
  return answerTo(answer, scheme, user);
}

/** The token that answers the challenge of a 401. */
export function answerTo(answer: RawAnswer, scheme: NtlmScheme, user: LocalUser): Uint8Array {
  const token = challengeToken(answer, scheme);
  const challenge = token === undefined || scheme === "NTLM" ? token : unwrapNtlmChallenge(token);
  if (challenge === undefined) throw new Error(`no challenge in a ${answer.status}`);
  const made: NtlmAnswer | undefined = answerNtlmChallenge({
    negotiate: makeNtlmNegotiate(),
    challenge,
    credentials: { account: user.account, domain: "", password: user.password },
    servicePrincipal: "HTTP/localhost",
    randomBytes: (count) => new Uint8Array(randomBytes(count)),
    wall: Date.now(),
  });
  if (made === undefined) throw new Error("a challenge that cannot be answered");
  return scheme === "NTLM" ? made.message : wrapNtlmAnswer(made);
}

/** Sends a token with a GET of one KiB. */
export function present(
  connection: RawConnection,
  path: string,
  scheme: NtlmScheme,
  token: Uint8Array,
): Promise<RawAnswer> {
  return connection.get(path, [RANGE, authorization(scheme, token)]);
}

/** A whole handshake; returns the last answer. */
export async function logOn(
  connection: RawConnection,
  path: string,
  scheme: NtlmScheme,
  user: LocalUser,
): Promise<RawAnswer> {
  return present(connection, path, scheme, await begin(connection, path, scheme, user));
}
