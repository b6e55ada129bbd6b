import type { Entry } from "ldapts";

/** What is asked of an account's entry. */
export const ACCOUNT_ATTRIBUTES = [
  "sAMAccountName",
  "userPrincipalName",
  "objectSid",
  "primaryGroupID",
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
  /** SID of the group that the account belongs to without being listed there: usually Domain Users. */
  readonly primaryGroup: Buffer;
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
/** Octets of a SID that name somebody within a domain, little endian ([MS-DTYP] §2.4.2.2). */
const RID_BYTES = 4;
/** A SID has at least these octets, with one such number. */
const MIN_SID_BYTES = 12;
/** DOMAIN_GROUP_RID_USERS, [MS-DTYP] §2.4.2.4. */
const DOMAIN_USERS = 513;
/** FILETIME counts 100 ns from 1601 on. */
const FILETIME_EPOCH_MS = 11_644_473_600_000;
const FILETIME_PER_MS = 10_000n;

/** undefined when the entry lacks what every account has: then it is none, or may not be read. */
export function readAccount(entry: Entry): DirectoryAccount | undefined {
  const name = textOf(entry, "sAMAccountName");
  const [sid] = buffersOf(entry, "objectSid");
  const control = numberOf(entry, "userAccountControl");
  if (name === undefined || sid === undefined || sid.length < MIN_SID_BYTES || control === undefined)
    return undefined;
  const primaryGroup = Buffer.from(sid);
  primaryGroup.writeUInt32LE(numberOf(entry, "primaryGroupID") ?? DOMAIN_USERS, sid.length - RID_BYTES);
  const computed = numberOf(entry, "msDS-User-Account-Control-Computed") ?? 0;
  return {
    dn: entry.dn,
    name,
    upn: textOf(entry, "userPrincipalName"),
    sid,
    primaryGroup,
    isEnabled: ((control | computed) & (ACCOUNT_DISABLED | ACCOUNT_LOCKED)) === 0,
    expiresAt: readExpiry(textOf(entry, "accountExpires")),
  };
}

/** What the SIDs of one domain have in common. */
export function domainOf(sid: Buffer): Buffer {
  return sid.subarray(0, -RID_BYTES);
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
