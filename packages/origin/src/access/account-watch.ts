import { type Clock, describeError, type Logger } from "@ckmesh/core";
import { type LocalUsers, loadUsers, modeOf, stampOf } from "./account-file.js";

/** Longest time until a changed accounts file counts. */
const RELOAD_CHECK_MS = 2000;

export interface AccountWatchOptions {
  readonly file: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with what a changed file holds. */
  readonly onChange: (users: LocalUsers) => void;
}

/** Follows the accounts file; asked at each request, looks every 2 s. */
export class AccountWatch {
  readonly #options: AccountWatchOptions;
  /** Of the accounts that count. */
  #stamp: string | undefined;
  /** Of the file that could not be read; said once. */
  #refusedStamp: string | undefined;
  #lookedAt: number;
  #looking: Promise<void> | undefined;

  private constructor(options: AccountWatchOptions, stamp: string | undefined) {
    this.#options = options;
    this.#stamp = stamp;
    this.#lookedAt = options.clock.now();
  }

  /** @throws {AppError} ERR_CONFIG_INVALID */
  static async start(
    options: AccountWatchOptions,
  ): Promise<{ readonly watch: AccountWatch; readonly users: LocalUsers }> {
    const { file, logger } = options;
    const stamp = await stampOf(file);
    const users = loadUsers(file);
    const mode = await modeOf(file);
    if (mode !== undefined && (mode & 0o077) !== 0 && process.platform !== "win32") {
      logger.warn({ file, mode: mode.toString(8) }, "accounts file is readable by others; set mode 600");
    }
    return { watch: new AccountWatch(options, stamp), users };
  }

  /** Nothing to wait for, or a look under way. */
  refresh(): Promise<void> | undefined {
    if (this.#options.clock.now() - this.#lookedAt < RELOAD_CHECK_MS) return undefined;
    this.#looking ??= this.look().finally(() => {
      this.#looking = undefined;
      this.#lookedAt = this.#options.clock.now();
    });
    return this.#looking;
  }

  /** Looks now, whenever the last time was. */
  async look(): Promise<void> {
    const { file, logger, onChange } = this.#options;
    const stamp = await stampOf(file);
    if (stamp === this.#stamp) return;
    let users: LocalUsers;
    try {
      users = loadUsers(file);
    } catch (err) {
      // A half-edited file must not lock everybody out: the accounts that were read last stay, until it can be read.
      if (stamp === undefined || stamp !== this.#refusedStamp) {
        logger.error(
          { err, reason: describeError(err) },
          "accounts file cannot be read, the accounts stay as they were",
        );
      }
      this.#refusedStamp = stamp;
      return;
    }
    this.#stamp = stamp;
    this.#refusedStamp = undefined;
    onChange(users);
    logger.info({ accounts: users.accounts.count }, "accounts file read again");
  }
}
