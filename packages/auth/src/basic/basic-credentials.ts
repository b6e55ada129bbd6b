/** What a client sent; `user` without its domain part, NFC. */
export interface BasicCredentials {
  readonly user: string;
  readonly password: string;
}

/** Longer names and passwords are no credentials. */
const MAX_PART_LENGTH = 256;

/**
 * Decodes the token of `Authorization: Basic` (RFC 7617, UTF-8). `DOMAIN\user` and `user@domain` lose
 * their domain. undefined when it is malformed or contains control characters.
 */
export function decodeBasic(token: string): BasicCredentials | undefined {
  const bytes = Buffer.from(token, "base64");
  // Buffer skips what is no base64: only a token that encodes back is one.
  if (bytes.toString("base64").replaceAll("=", "") !== token.replaceAll("=", "")) return undefined;
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    return undefined; // Not UTF-8: refused like any malformed credential.
  }
  const colon = text.indexOf(":");
  if (colon < 0 || CONTROL.test(text)) return undefined;
  const user = stripDomain(text.slice(0, colon)).normalize("NFC");
  const password = text.slice(colon + 1).normalize("NFC");
  if (user === "" || user.length > MAX_PART_LENGTH || password.length > MAX_PART_LENGTH) return undefined;
  return { user, password };
}

/** The challenge of RFC 7617. Characters that would end the quoted string are left out. */
export function basicChallenge(realm: string): string {
  return `Basic realm="${realm.replaceAll(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "")}", charset="UTF-8"`;
}

function stripDomain(name: string): string {
  const plain = name.slice(name.lastIndexOf("\\") + 1);
  const at = plain.indexOf("@");
  return at < 0 ? plain : plain.slice(0, at);
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// oxlint-disable-next-line eslint/no-control-regex -- control characters are exactly what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;
