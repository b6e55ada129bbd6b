import type { Identity, LogonName, PasswordJudge } from "@ckmesh/auth";
import { AppError } from "@ckmesh/core";
import type { LdapDirectory } from "./ldap-directory.js";

/** Checks passwords by a bind to the directory, over TLS only. The directory counts wrong ones too. */
export class LdapPasswordJudge implements PasswordJudge {
  readonly #directory: LdapDirectory;
  readonly #defaultLogonDomain: string;

  /**
   * @param defaultLogonDomain of names without one; empty = the directory's own
   * @throws {AppError} ERR_CONFIG_INVALID where the directory is asked without TLS
   */
  constructor(directory: LdapDirectory, defaultLogonDomain: string) {
    if (!directory.isPrivate) {
      throw new AppError(
        "ERR_CONFIG_INVALID",
        "authentication.directory.url: passwords are checked over TLS only (ldaps://, or startTls)",
      );
    }
    this.#directory = directory;
    this.#defaultLogonDomain = defaultLogonDomain === "" ? directory.netbiosDomain : defaultLogonDomain;
  }

  async check({ account, domain }: LogonName, password: string): Promise<Identity | undefined> {
    // A bind with an empty password succeeds without proving anything (RFC 4513 §5.1.2).
    if (account === "" || password === "") return undefined;
    const name = { account, domain: domain === "" ? this.#defaultLogonDomain : domain };
    return this.#directory.checkPassword(await this.#directory.findLogonName(name), password);
  }
}
