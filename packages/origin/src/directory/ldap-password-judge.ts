import { type Identity, type LogonName, type PasswordJudge, WorkQueue } from "@ckmesh/auth";
import { AppError } from "@ckmesh/core";
import type { LdapDirectory } from "./ldap-directory.js";

/** Each check is a connection of its own to the directory. */
const MAX_CHECKS_AT_ONCE = 8;
const MAX_CHECKS_WAITING = 64;

type Accounts = Pick<LdapDirectory, "isPrivate" | "netbiosDomain" | "findLogonName" | "checkPassword">;

/** Checks passwords by a bind to the directory, over TLS only. The directory counts wrong ones too. */
export class LdapPasswordJudge implements PasswordJudge {
  readonly #directory: Accounts;
  readonly #defaultLogonDomain: string;
  readonly #queue = new WorkQueue(MAX_CHECKS_AT_ONCE, MAX_CHECKS_WAITING);

  /**
   * @param defaultLogonDomain of names without one; empty = the directory's own
   * @throws {AppError} ERR_CONFIG_INVALID where the directory is asked without TLS
   */
  constructor(directory: Accounts, defaultLogonDomain: string) {
    if (!directory.isPrivate) {
      throw new AppError(
        "ERR_CONFIG_INVALID",
        "authentication.directory.url: passwords are checked over TLS only (ldaps://, or startTls)",
      );
    }
    this.#directory = directory;
    this.#defaultLogonDomain = defaultLogonDomain === "" ? directory.netbiosDomain : defaultLogonDomain;
  }

  /** @throws {AppError} ERR_AUTH_UNAVAILABLE; ERR_RATE_LIMITED when too many checks wait */
  async check({ account, domain }: LogonName, password: string): Promise<Identity | undefined> {
    // A bind with an empty password succeeds without proving anything (RFC 4513 §5.1.2).
    if (account === "" || password === "") return undefined;
    const name = { account, domain: domain === "" ? this.#defaultLogonDomain : domain };
    return this.#queue.run(async () =>
      this.#directory.checkPassword(await this.#directory.findLogonName(name), password),
    );
  }
}
