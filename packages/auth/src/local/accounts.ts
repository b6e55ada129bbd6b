import { AppError, Fields, fromHex } from "@ckmesh/core";
import { type PasswordHash, parsePasswordHash } from "./password-hash.js";

/** Most accounts of one file. */
const MAX_ACCOUNTS = 10_000;
/** MD4. */
const NT_HASH_BYTES = 16;

export interface Account {
  /** As written in the file; compared without case. */
  readonly name: string;
  readonly password: PasswordHash;
  /** What NTLM needs of the password; absent = this account cannot log on with NTLM. */
  readonly ntHash?: Uint8Array;
  /** Both as they stand in the file. */
  readonly stored: StoredAccount;
}

/** An account of the file, as text. */
export interface StoredAccount {
  readonly name: string;
  /** `scrypt$N$r$p$salt$hash` */
  readonly password: string;
  /** 32 hexadecimal digits; whoever has it can log on: it is as secret as the password. */
  readonly nt?: string;
}

/** Accounts by name, without regard to case (as Windows does it). */
export class Accounts {
  readonly #byName: ReadonlyMap<string, Account>;

  constructor(accounts: readonly Account[]) {
    this.#byName = new Map(accounts.map((account) => [account.name.toLowerCase(), account]));
  }

  find(name: string): Account | undefined {
    return this.#byName.get(name.toLowerCase());
  }

  list(): readonly Account[] {
    return [...this.#byName.values()];
  }

  get count(): number {
    return this.#byName.size;
  }
}

/**
 * Reads `{ accounts: [{ name, password: "scrypt$…", nt: "a4f4…" }] }`; `nt` is optional.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function parseAccounts(value: unknown): Accounts {
  if (value === null || value === undefined) return new Accounts([]);
  const list = new Fields(value, "accounts file", "ERR_CONFIG_INVALID").list("accounts", MAX_ACCOUNTS);
  const accounts = list.map((item, i) =>
    parseAccount(new Fields(item, `accounts[${i}]`, "ERR_CONFIG_INVALID")),
  );
  const parsed = new Accounts(accounts);
  if (parsed.count !== accounts.length) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      "two accounts bear the same name (upper and lower case are equal)",
    );
  }
  return parsed;
}

function parseAccount(fields: Fields): Account {
  const name = parseAccountName(fields.string("name", 256));
  const password = fields.string("password", 256);
  const account = { name, password: parsePasswordHash(password), stored: { name, password } };
  if (!fields.has("nt")) return account;
  const nt = fields.string("nt", 2 * NT_HASH_BYTES);
  const ntHash = fromHex(nt, NT_HASH_BYTES);
  if (ntHash === undefined) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `nt of account ${name} must be 32 hexadecimal digits, in quotes; ckmesh origin account add writes them`,
    );
  }
  return { ...account, ntHash, stored: { name, password, nt } };
}

/**
 * A name that can be written in every way that clients write names: no domain separators, no colon.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function parseAccountName(text: string): string {
  const name = text.normalize("NFC");
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are exactly what is refused
  if (!/^[^\u0000-\u0020\u007f"/\\[\]:;|=,+*?<>@]{1,104}$/.test(name) || RESERVED.has(name.toLowerCase())) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `${JSON.stringify(text)} is no account name: 1 to 104 characters, no spaces and none of " / \\ [ ] : ; | = , + * ? < > @`,
    );
  }
  return name;
}

/** Names with a meaning in the rights, and what logs print for nobody. */
const RESERVED = new Set(["everyone", "anonymous", "-"]);
