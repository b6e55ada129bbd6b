/** Bytes of randomness in a session id. */
export const SESSION_ID_BYTES = 16;

/**
 * A session id as IIS writes it: a version 4 GUID in braces, upper case ([MC-BUP] 2.2.1.2, RFC 9562 §5.4). With 122
 * random bits it is a capability.
 * @param random `SESSION_ID_BYTES` bytes fit for secrets
 */
export function formatSessionId(random: Uint8Array): string {
  if (random.length !== SESSION_ID_BYTES) throw new Error("unreachable: a session id takes 16 random bytes");
  const hex = Array.from(random, (byte, at) => versioned(byte, at).toString(16).padStart(2, "0"))
    .join("")
    .toUpperCase();
  return `{${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}}`;
}

function versioned(byte: number, at: number): number {
  if (at === 6) return (byte & 0x0f) | 0x40;
  if (at === 8) return (byte & 0x3f) | 0x80;
  return byte;
}

/**
 * The form in which sessions are compared and files are named: 36 characters, lower case, without braces.
 * @returns undefined for what is no GUID, so no session of ours
 */
export function sessionKey(id: string): string | undefined {
  const m = /^(\{)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(\})?$/i.exec(id);
  if (m === null || (m[1] === undefined) !== (m[3] === undefined)) return undefined;
  return m[2]?.toLowerCase();
}
