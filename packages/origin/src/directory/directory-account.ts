import type { Entry } from "ldapts";

/** What is asked of an account's entry. */
export const ACCOUNT_ATTRIBUTES = [
  "sAMAccountName",
  "userPrincipalName",
  "objectSid",
  "userAccountControl",
  "msDS-User-Account-Control-Computed",
  "accountExpires",
];
/** Attributes that are no text. */
export const BINARY_ATTRIBUTES = ["objectSid", "tokenGroups"];

/** An account of the directory as rights and mappings need it. */
export interface DirectoryAccount {
  readonly dn: string;
  /** As the directory writes it. */
  readonly name: string;
  /** Absent where the account has none of its own. */
  readonly upn: string | undefined;
  /** Binary; groups of the same domain begin with it, but for the last four bytes. */
  readonly sid: Buffer;
  /** Neither disabled nor locked. */
  readonly isEnabled: boolean;
  /** Unix ms; undefined = never. */
  readonly expiresAt: number | undefined;
}

/** [MS-ADTS] §2.2.16, userAccountControl. */
const ACCOUNT_DISABLED = 0x2;
const ACCOUNT_LOCKED = 0x10;
/** [MS-ADTS] §2.2.16: both mean "never". */
const NEVER = new Set([0n, 0x7fff_ffff_ffff_ffffn]);
/** FILETIME counts 100 ns from 1601 on. */
const FILETIME_EPOCH_MS = 11_644_473_600_000;
const FILETIME_PER_MS = 10_000n;

/** undefined when the entry lacks what every account has: then it is none, or may not be read. */
export function readAccount(entry: Entry): DirectoryAccount | undefined {
  const name = textOf(entry, "sAMAccountName");
  const [sid] = buffersOf(entry, "objectSid");
  const control = numberOf(entry, "userAccountControl");
  if (name === undefined || sid === undefined || control === undefined) return undefined;
  const computed = numberOf(entry, "msDS-User-Account-Control-Computed") ?? 0;
  return {
    dn: entry.dn,
    name,
    upn: textOf(entry, "userPrincipalName"),
    sid,
    isEnabled: ((control | computed) & (ACCOUNT_DISABLED | ACCOUNT_LOCKED)) === 0,
    expiresAt: readExpiry(textOf(entry, "accountExpires")),
  };
}

export function buffersOf(entry: Entry, attribute: string): readonly Buffer[] {
  const value = entry[attribute];
  return (Array.isArray(value) ? value : [value]).filter((item) => Buffer.isBuffer(item));
}

export function textOf(entry: Entry, attribute: string): string | undefined {
  const value = entry[attribute];
  const first = Array.isArray(value) ? value[0] : value;
  return typeof first === "string" && first !== "" ? first : undefined;
}

function numberOf(entry: Entry, attribute: string): number | undefined {
  const text = textOf(entry, attribute);
  return text !== undefined && /^-?\d{1,10}$/.test(text) ? Number(text) : undefined;
}

function readExpiry(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,19}$/.test(text)) return undefined;
  const fileTime = BigInt(text);
  return NEVER.has(fileTime) ? undefined : Number(fileTime / FILETIME_PER_MS) - FILETIME_EPOCH_MS;
}
