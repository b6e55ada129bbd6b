/** The one protocol there is: BITS 1.5 Upload ([MC-BUP] 2.2.2.2). */
export const BITS_PROTOCOL = "{7df0354d-249b-430f-820d-3d2a9bef4931}";

/** Windows handles so many names in one list ([MC-BUP] <6>); what follows is not looked at. */
export const MAX_PROTOCOLS = 100;

/**
 * Whether BITS-Supported-Protocols names the protocol spoken here: GUIDs, preferred first, separated by blanks or
 * commas ([MC-BUP] 2.2.2.2).
 */
export function namesBitsProtocol(list: string): boolean {
  return list
    .split(/[\s,]+/, MAX_PROTOCOLS + 1)
    .filter((name) => name !== "")
    .slice(0, MAX_PROTOCOLS)
    .some((name) => name.toLowerCase() === BITS_PROTOCOL);
}
