import { AV, AV_FLAG_MIC, type AvPairs, parseAvPairs } from "./av-pairs.js";
import { combineFlags, hasFlag, NTLM_FLAG } from "./ntlm-flags.js";
import {
  type ChallengeMessage,
  encodeAuthenticate,
  encodeNegotiate,
  MIC_END,
  MIC_OFFSET,
  parseChallenge,
} from "./ntlm-messages.js";
import type { NtlmSession } from "./ntlm-signature.js";
import { utf16 } from "./ntlm-text.js";
import {
  encodeV2Temp,
  fileTime,
  hmacMd5,
  messageIntegrityCode,
  ntHash,
  ntlmV2Key,
  sessionBaseKey,
  v2Proof,
} from "./ntlm-v2.js";
import { rc4 } from "./rc4.js";

export interface NtlmCredentials {
  /** `alice`, or `alice@medv.test` with an empty domain. */
  readonly account: string;
  /** `MEDV`; empty for accounts of the server itself. */
  readonly domain: string;
  readonly password: string;
  /** Name of this machine; for the server's log only. */
  readonly workstation?: string;
}

export interface NtlmAnswerOptions {
  /** The Type 1 as sent. */
  readonly negotiate: Uint8Array;
  /** The Type 2 as received. */
  readonly challenge: Uint8Array;
  readonly credentials: NtlmCredentials;
  /** `HTTP/images.medv.test`: the server that is meant. */
  readonly servicePrincipal: string;
  /** Of `tlsServerEndPoint`; absent without TLS. */
  readonly channelBinding?: Uint8Array;
  readonly randomBytes: (count: number) => Uint8Array;
  /** ms since 1970; used when the server states no time. */
  readonly wall: number;
}

export interface NtlmAnswer extends NtlmSession {
  /** The Type 3. */
  readonly message: Uint8Array;
}

/** All that servers grant; signing is needed for the list of mechanisms in SPNEGO. */
const ASKED = combineFlags(
  NTLM_FLAG.unicode,
  NTLM_FLAG.oem,
  NTLM_FLAG.requestTarget,
  NTLM_FLAG.sign,
  NTLM_FLAG.ntlm,
  NTLM_FLAG.alwaysSign,
  NTLM_FLAG.extendedSession,
  NTLM_FLAG.version,
  NTLM_FLAG.key128,
  NTLM_FLAG.keyExchange,
  NTLM_FLAG.key56,
);
const NO_BINDING = new Uint8Array(16);
/** The LM response of a client that sends a MIC ([MS-NLMP] 3.1.5.1.2). */
const NO_LM_RESPONSE = new Uint8Array(24);

/** The Type 1. */
export function makeNtlmNegotiate(): Uint8Array {
  return encodeNegotiate({ flags: ASKED });
}

/**
 * Answers a Type 2: NTLMv2, with a message integrity code when the server states its time.
 * undefined when the challenge is malformed.
 */
export function answerNtlmChallenge(options: NtlmAnswerOptions): NtlmAnswer | undefined {
  const challenge = parseChallenge(options.challenge);
  const info = challenge === undefined ? undefined : infoOf(challenge);
  if (challenge === undefined || info === undefined) return undefined;
  const { credentials, randomBytes } = options;
  const timestamp = info.get(AV.timestamp);
  if (timestamp !== undefined && timestamp.byteLength !== 8) return undefined;
  const hasMic = timestamp !== undefined;
  const clientChallenge = randomBytes(8);
  const key = ntlmV2Key(ntHash(credentials.password), credentials.account, credentials.domain);
  const temp = encodeV2Temp({
    timestamp: timestamp ?? fileTime(options.wall),
    clientChallenge,
    // Also where the server states nothing: whoever relays could leave its pairs out, and with them what binds.
    pairs: answeredPairs(info, options, hasMic),
  });
  const proof = v2Proof(key, challenge.challenge, temp);
  const baseKey = sessionBaseKey(key, proof);
  const flags = (challenge.flags & combineFlags(ASKED, NTLM_FLAG.targetInfo)) >>> 0;
  const sessionKey = hasFlag(flags, "keyExchange") ? randomBytes(16) : baseKey;
  const message = encodeAuthenticate({
    flags,
    lmResponse: hasMic ? NO_LM_RESPONSE : lmV2Response(key, challenge.challenge, clientChallenge),
    ntResponse: new Uint8Array(Buffer.concat([proof, temp])),
    domain: credentials.domain,
    user: credentials.account,
    workstation: credentials.workstation ?? "",
    sessionKey: hasFlag(flags, "keyExchange") ? rc4(baseKey, sessionKey) : new Uint8Array(0),
    payloadOffset: hasMic ? MIC_END : MIC_OFFSET,
  });
  if (hasMic) {
    message.set(messageIntegrityCode(sessionKey, options.negotiate, options.challenge, message), MIC_OFFSET);
  }
  return { message, sessionKey, flags };
}

/** Empty when the server sent no pairs. */
function infoOf(challenge: ChallengeMessage): AvPairs | undefined {
  return challenge.targetInfo.byteLength === 0 ? new Map() : parseAvPairs(challenge.targetInfo);
}

/** The server's pairs, with what the client says of itself ([MS-NLMP] 3.1.5.1.2). */
function answeredPairs(info: AvPairs, options: NtlmAnswerOptions, hasMic: boolean): AvPairs {
  const pairs = new Map(info);
  if (hasMic) {
    const flags = info.get(AV.flags)?.slice(0, 4) ?? new Uint8Array(4);
    flags[0] = (flags[0] ?? 0) | AV_FLAG_MIC;
    pairs.set(AV.flags, flags);
  }
  pairs.set(AV.channelBinding, options.channelBinding ?? NO_BINDING);
  pairs.set(AV.targetName, utf16(options.servicePrincipal));
  return pairs;
}

/** [MS-NLMP] 3.3.2: for servers that state no time. */
function lmV2Response(key: Uint8Array, serverChallenge: Uint8Array, clientChallenge: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([hmacMd5(key, serverChallenge, clientChallenge), clientChallenge]));
}
