import { stat } from "node:fs/promises";
import { Accounts, makeStoredAccount, parseAccounts, type StoredAccount } from "@ckmesh/auth";
import { AppError, type Clock, describeError, type Logger } from "@ckmesh/core";
import { readYamlFile } from "@ckmesh/runtime";
import { replaceFile } from "./catalogue-cache.js";

/** Longest time until a changed accounts file counts. */
const RELOAD_CHECK_MS = 2000;
const HEADER =
  "# Accounts of the origin. Add or change one: ckmesh origin account add NAME --password-file F --accounts THIS\n";

/**
 * Adds an account, or changes its password. The file is replaced in one step, mode 0600.
 * @param withNtlm the account may log on with NTLM: the file then holds what is as secret as the password
 * @throws {AppError} ERR_CONFIG_INVALID, ERR_USAGE
 */
export async function addAccount(
  file: string,
  name: string,
  password: string,
  withNtlm = true,
): Promise<void> {
  if (password === "" || password.length > 256) {
    throw new AppError("ERR_USAGE", "a password has 1 to 256 characters");
  }
  const added = await makeStoredAccount(name, password, withNtlm);
  const existing = (await modeOf(file)) === undefined ? new Accounts([]) : loadAccounts(file);
  const others = existing.list().filter((account) => account.name.toLowerCase() !== added.name.toLowerCase());
  const lines = [...others.map((account) => account.stored), added]
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(accountLine);
  try {
    await replaceFile(file, `${HEADER}accounts:\n${lines.join("")}`);
  } catch (cause) {
    throw new AppError("ERR_FILE_DENIED", `cannot write ${file}: ${describeError(cause)}`, { cause });
  }
}

function accountLine({ name, password, nt }: StoredAccount): string {
  const ntlm = nt === undefined ? "" : `, nt: ${JSON.stringify(nt)}`;
  return `  - {name: ${JSON.stringify(name)}, password: ${JSON.stringify(password)}${ntlm}}\n`;
}

/** @throws {AppError} ERR_CONFIG_INVALID */
function loadAccounts(file: string): Accounts {
  try {
    return parseAccounts(readYamlFile(file).value);
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `accounts file ${file}: ${describeError(cause)}`, { cause });
  }
}

/** What goes by the accounts of the file. */
export interface AccountsUser {
  replaceAccounts(accounts: Accounts): void;
}

/** Hands a changed accounts file to who goes by it; asked at each request with credentials, looks every 2 s. */
export class AccountWatch {
  readonly #file: string;
  readonly #user: AccountsUser;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #stamp: string | undefined;
  #lookedAt: number;
  #looking: Promise<void> | undefined;

  private constructor(
    file: string,
    user: AccountsUser,
    clock: Clock,
    logger: Logger,
    stamp: string | undefined,
  ) {
    this.#file = file;
    this.#user = user;
    this.#clock = clock;
    this.#logger = logger;
    this.#stamp = stamp;
    this.#lookedAt = clock.now();
  }

  /** @throws {AppError} ERR_CONFIG_INVALID */
  static async start(file: string, user: AccountsUser, clock: Clock, logger: Logger): Promise<AccountWatch> {
    const stamp = await stampOf(file);
    user.replaceAccounts(loadAccounts(file));
    const mode = await modeOf(file);
    if (mode !== undefined && (mode & 0o077) !== 0 && process.platform !== "win32") {
      logger.warn({ file, mode: mode.toString(8) }, "accounts file is readable by others; set mode 600");
    }
    return new AccountWatch(file, user, clock, logger, stamp);
  }

  async refresh(): Promise<void> {
    if (this.#clock.now() - this.#lookedAt < RELOAD_CHECK_MS) return;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
      this.#lookedAt = this.#clock.now();
    });
    await this.#looking;
  }

  async #look(): Promise<void> {
    const stamp = await stampOf(this.#file);
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    try {
      const accounts = loadAccounts(this.#file);
      this.#user.replaceAccounts(accounts);
      this.#logger.info({ accounts: accounts.count }, "accounts file read again");
    } catch (err) {
      // A half-edited file must not lock everybody out: the accounts that were read last stay.
      this.#logger.error(
        { err, reason: describeError(err) },
        "accounts file cannot be read, the accounts stay as they were",
      );
    }
  }
}

async function stampOf(file: string): Promise<string | undefined> {
  try {
    const { size, mtimeMs, ino } = await stat(file);
    return `${size}:${mtimeMs}:${ino}`;
  } catch {
    return undefined; // Absent is a stamp too.
  }
}

async function modeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).mode;
  } catch {
    return undefined;
  }
}
