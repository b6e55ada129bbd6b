import type { LogonName } from "../judges.js";
import { parseLogonName } from "../logon-name.js";
import { decodeToken } from "../token68.js";

/** What a client sent, NFC. */
export interface BasicCredentials {
  readonly name: LogonName;
  readonly password: string;
}

/** Longer names and passwords are no credentials. */
const MAX_PART_LENGTH = 256;

/** Decodes the token of `Authorization: Basic` (RFC 7617, UTF-8); undefined when malformed. */
export function decodeBasic(token: string): BasicCredentials | undefined {
  const bytes = decodeToken(token);
  if (bytes === undefined) return undefined;
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    return undefined; // Not UTF-8: refused like any malformed credential.
  }
  const colon = text.indexOf(":");
  if (colon < 0 || CONTROL.test(text)) return undefined;
  const name = parseLogonName(text.slice(0, colon).normalize("NFC"));
  const password = text.slice(colon + 1).normalize("NFC");
  if (name.account === "" || colon > MAX_PART_LENGTH || password.length > MAX_PART_LENGTH) return undefined;
  return { name, password };
}

/** The challenge of RFC 7617. Characters that would end the quoted string are left out. */
export function basicChallenge(realm: string): string {
  return `Basic realm="${realm.replaceAll(/[^\x20\x21\x23-\x5b\x5d-\x7e]/g, "")}", charset="UTF-8"`;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
// oxlint-disable-next-line eslint/no-control-regex -- control characters are exactly what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;
