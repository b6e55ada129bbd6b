import { timingSafeEqual } from "node:crypto";
import type { NtlmAnswer } from "../ntlm/ntlm-client.js";
import { isNtlmMessage } from "../ntlm/ntlm-messages.js";
import { signFirst } from "../ntlm/ntlm-signature.js";
import {
  encodeMechanismList,
  encodeNegTokenInit,
  encodeNegTokenResp,
  NEG_STATE,
  parseSpnego,
} from "./spnego.js";

/** What this client offers when it has no ticket. */
const NTLM_ONLY = ["ntlm"] as const;

/** Wraps a Type 1 as the first token of `Negotiate`. */
export function wrapNtlmNegotiate(negotiate: Uint8Array): Uint8Array {
  return encodeNegTokenInit(NTLM_ONLY, negotiate);
}

/** Takes the Type 2 out of the server's token; a bare one is taken as it is. undefined when there is none. */
export function unwrapNtlmChallenge(token: Uint8Array): Uint8Array | undefined {
  if (isNtlmMessage(token)) return token;
  const parsed = parseSpnego(token);
  if (parsed?.type !== "resp" || parsed.negState === NEG_STATE.reject) return undefined;
  if (parsed.mechanism !== undefined && parsed.mechanism !== "ntlm") return undefined;
  return parsed.responseToken;
}

/** Wraps a Type 3, with the signed list of mechanisms where both sides can sign. */
export function wrapNtlmAnswer(answer: NtlmAnswer): Uint8Array {
  const mechListMic = signFirst(answer, "client", encodeMechanismList(NTLM_ONLY));
  return encodeNegTokenResp({ responseToken: answer.message, ...(mechListMic && { mechListMic }) });
}

/** False when the server's last token refuses, or its signature of the list of mechanisms is wrong. */
export function isNtlmAcceptance(token: Uint8Array, answer: NtlmAnswer): boolean {
  const parsed = parseSpnego(token);
  if (parsed?.type !== "resp") return false;
  if (parsed.negState !== undefined && parsed.negState !== NEG_STATE.acceptCompleted) return false;
  if (parsed.mechListMic === undefined) return true;
  const expected = signFirst(answer, "server", encodeMechanismList(NTLM_ONLY));
  return (
    expected !== undefined &&
    expected.byteLength === parsed.mechListMic.byteLength &&
    timingSafeEqual(expected, parsed.mechListMic)
  );
}
