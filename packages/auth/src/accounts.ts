import { AppError, Fields } from "@ckmesh/core";
import { type PasswordHash, parsePasswordHash } from "./password-hash.js";

/** Most accounts of one file. */
const MAX_ACCOUNTS = 10_000;

export interface Account {
  /** As written in the file; compared without case. */
  readonly name: string;
  readonly password: PasswordHash;
  /** The password as it stands in the file. */
  readonly stored: string;
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
 * Reads `{ accounts: [{ name, password: "scrypt$…" }] }`.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function parseAccounts(value: unknown): Accounts {
  if (value === null || value === undefined) return new Accounts([]);
  const list = new Fields(value, "accounts file", "ERR_CONFIG_INVALID").list("accounts", MAX_ACCOUNTS);
  const accounts = list.map((item, i) => {
    const fields = new Fields(item, `accounts[${i}]`, "ERR_CONFIG_INVALID");
    const stored = fields.string("password", 256);
    return {
      name: parseAccountName(fields.string("name", 256)),
      password: parsePasswordHash(stored),
      stored,
    };
  });
  const parsed = new Accounts(accounts);
  if (parsed.count !== accounts.length) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      "two accounts bear the same name (upper and lower case are equal)",
    );
  }
  return parsed;
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
