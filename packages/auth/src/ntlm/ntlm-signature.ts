import { hasFlag } from "./ntlm-flags.js";
import { hmacMd5, md5 } from "./ntlm-v2.js";
import { rc4 } from "./rc4.js";

export type SigningSide = "client" | "server";

/** What a finished handshake leaves: enough to sign what both sides agreed on. */
export interface NtlmSession {
  /** 16 bytes; empty in no case. */
  readonly sessionKey: Uint8Array;
  readonly flags: number;
}

/** [MS-NLMP] 3.4.5.2, 3.4.5.3; each ends with a zero byte. */
const MAGIC = {
  sign: {
    client: "session key to client-to-server signing key magic constant\0",
    server: "session key to server-to-client signing key magic constant\0",
  },
  seal: {
    client: "session key to client-to-server sealing key magic constant\0",
    server: "session key to server-to-client sealing key magic constant\0",
  },
} as const;

/**
 * Signature of the first message that `side` signs ([MS-NLMP] 3.4.4.2): SPNEGO signs one, its list of
 * mechanisms. undefined without extended session security, whose weaker kind nobody who sends NTLMv2 uses.
 */
export function signFirst(
  session: NtlmSession,
  side: SigningSide,
  message: Uint8Array,
): Uint8Array | undefined {
  const { sessionKey, flags } = session;
  if (!hasFlag(flags, "extendedSession")) return undefined;
  const sequence = new Uint8Array(4);
  const signKey = md5(sessionKey, text(MAGIC.sign[side]));
  const checksum = hmacMd5(signKey, sequence, message).subarray(0, 8);
  const sealed = hasFlag(flags, "keyExchange") ? rc4(sealKey(session, side), checksum) : checksum;
  return new Uint8Array([1, 0, 0, 0, ...sealed, ...sequence]);
}

function sealKey({ sessionKey, flags }: NtlmSession, side: SigningSide): Uint8Array {
  const bytes = hasFlag(flags, "key128") ? 16 : hasFlag(flags, "key56") ? 7 : 5;
  return md5(sessionKey.subarray(0, bytes), text(MAGIC.seal[side]));
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
