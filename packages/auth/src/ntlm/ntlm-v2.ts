import { createHash, createHmac } from "node:crypto";
import { type AvPairs, encodeAvPairs, parseAvPairs } from "./av-pairs.js";
import { md4 } from "./md4.js";
import { MIC_END, MIC_OFFSET } from "./ntlm-messages.js";
import { upperCase, utf16 } from "./ntlm-text.js";
import { rc4 } from "./rc4.js";

/** Bytes of the proof at the start of an NTLMv2 response. */
const PROOF_BYTES = 16;
/** Fixed part of what the proof covers ([MS-NLMP] 2.2.2.7): versions, time, client challenge. */
const TEMP_HEAD_BYTES = 28;
/** An NTLMv1 response is always this long. */
export const V1_RESPONSE_BYTES = 24;
/** Proof, fixed part, and an end mark of the pairs. */
const MIN_V2_RESPONSE_BYTES = PROOF_BYTES + TEMP_HEAD_BYTES + 4;

/** What is kept of a password for NTLM. Equivalent to the password: whoever has it can log on. */
export function ntHash(password: string): Uint8Array {
  return md4(utf16(password));
}

/** NTOWFv2 ([MS-NLMP] 3.3.2): `domain` exactly as it is sent. */
export function ntlmV2Key(hash: Uint8Array, user: string, domain: string): Uint8Array {
  return hmacMd5(hash, utf16(upperCase(user) + domain));
}

export interface V2Response {
  /** 16 bytes. */
  readonly proof: Uint8Array;
  /** What the proof covers, with the server's challenge before it. */
  readonly temp: Uint8Array;
  readonly pairs: AvPairs;
}

/** undefined for anything that is no NTLMv2 response ([MS-NLMP] 2.2.2.8). */
export function parseV2Response(bytes: Uint8Array): V2Response | undefined {
  if (bytes.byteLength < MIN_V2_RESPONSE_BYTES) return undefined;
  const [proof, temp] = [bytes.subarray(0, PROOF_BYTES), bytes.subarray(PROOF_BYTES)];
  if (temp[0] !== 1 || temp[1] !== 1) return undefined;
  const pairs = parseAvPairs(temp.subarray(TEMP_HEAD_BYTES));
  return pairs === undefined ? undefined : { proof, temp, pairs };
}

export interface V2Temp {
  /** 100 ns since 1601, 8 bytes little endian. */
  readonly timestamp: Uint8Array;
  /** 8 bytes. */
  readonly clientChallenge: Uint8Array;
  readonly pairs: AvPairs;
}

/** [MS-NLMP] 3.3.2, `temp`. */
export function encodeV2Temp({ timestamp, clientChallenge, pairs }: V2Temp): Uint8Array {
  const encoded = encodeAvPairs(pairs);
  // Four zero bytes end it.
  const temp = new Uint8Array(TEMP_HEAD_BYTES + encoded.byteLength + 4);
  temp.set([1, 1]);
  temp.set(timestamp, 8);
  temp.set(clientChallenge, 16);
  temp.set(encoded, TEMP_HEAD_BYTES);
  return temp;
}

/** NTProofStr ([MS-NLMP] 3.3.2). */
export function v2Proof(key: Uint8Array, serverChallenge: Uint8Array, temp: Uint8Array): Uint8Array {
  return hmacMd5(key, serverChallenge, temp);
}

export function sessionBaseKey(key: Uint8Array, proof: Uint8Array): Uint8Array {
  return hmacMd5(key, proof);
}

/** What both sides sign with: the base key, or the key that travels under it ([MS-NLMP] 3.1.5.1.2). */
export function exportedSessionKey(baseKey: Uint8Array, encryptedKey: Uint8Array | undefined): Uint8Array {
  return encryptedKey === undefined ? baseKey : rc4(baseKey, encryptedKey);
}

/** Code over all three messages as sent, the place of the MIC in the third zero ([MS-NLMP] 3.1.5.1.2). */
export function messageIntegrityCode(
  sessionKey: Uint8Array,
  negotiate: Uint8Array,
  challenge: Uint8Array,
  authenticate: Uint8Array,
): Uint8Array {
  const zeroed = authenticate.slice();
  zeroed.fill(0, MIC_OFFSET, MIC_END);
  return hmacMd5(sessionKey, negotiate, challenge, zeroed);
}

/** 100 ns units from 1601 to 1970. */
const EPOCH_1601 = 116_444_736_000_000_000n;

/** @param wallMs ms since 1970 */
export function fileTime(wallMs: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, EPOCH_1601 + BigInt(Math.round(wallMs)) * 10_000n, true);
  return bytes;
}

export function hmacMd5(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const hmac = createHmac("md5", key);
  for (const part of parts) hmac.update(part);
  return new Uint8Array(hmac.digest());
}

export function md5(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("md5");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}
