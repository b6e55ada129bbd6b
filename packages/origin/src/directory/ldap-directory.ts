import type { Directory, Identity, LogonName } from "@ckmesh/auth";
import { AppError, type Clock, type Logger } from "@ckmesh/core";
import type { Filter } from "ldapts";
import {
  ACCOUNT_ATTRIBUTES,
  BINARY_ATTRIBUTES,
  type DirectoryAccount,
  readAccount,
} from "./directory-account.js";
import { DirectoryGroups } from "./directory-groups.js";
import { type LdapServer, LdapSession } from "./ldap-session.js";
import { LookupCache } from "./lookup-cache.js";

export interface LdapDirectoryOptions extends LdapServer {
  /** `DC=medv,DC=test`. */
  readonly baseDn: string;
  /** `MEDV`: what stands before the names of users and groups. */
  readonly netbiosDomain: string;
  /** How long an answer counts, and with it how long a change of groups may take to be seen. */
  readonly cacheMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const MAX_CACHED = 10_000;
const MISSING_MS = 15_000;
/** Names that are longer are in no directory. */
const MAX_NAME_LENGTH = 1024;

/**
 * Active Directory (or Samba) over LDAP: who belongs to which group, and whose certificate it is. Only users and groups
 * of one domain are known. Every value goes into a filter as a value, never as text of a filter.
 */
export class LdapDirectory implements Directory {
  readonly #options: LdapDirectoryOptions;
  readonly #session: LdapSession;
  readonly #dnsDomain: string;
  readonly #groups: LookupCache<readonly string[]>;
  readonly #groupReader: DirectoryGroups;
  readonly #accounts: LookupCache<DirectoryAccount>;

  /** @throws {AppError} ERR_CONFIG_INVALID */
  constructor(options: LdapDirectoryOptions) {
    this.#options = options;
    this.#session = new LdapSession(options);
    this.#dnsDomain = dnsDomainOf(options.baseDn);
    const { clock, cacheMs: foundMs } = options;
    const limits = { foundMs, missingMs: Math.min(MISSING_MS, foundMs), maxEntries: MAX_CACHED, clock };
    this.#groups = new LookupCache(limits);
    const names = new LookupCache<string>(limits);
    this.#groupReader = new DirectoryGroups({ session: this.#session, baseDn: options.baseDn, names });
    this.#accounts = new LookupCache(limits);
  }

  get netbiosDomain(): string {
    return this.#options.netbiosDomain;
  }

  /** False where passwords would cross the network readable. */
  get isPrivate(): boolean {
    return !this.#session.isPlain;
  }

  /** `MEDV\Branch Admins`: security groups of the domain, nested ones and the primary group included. */
  async groupsOf(identity: Identity): Promise<readonly string[]> {
    if (identity.domain === undefined || !this.#isOurs(identity.domain)) return [];
    const groups = await this.#groups.get(fold(identity.account), async () => {
      const found = await this.#findByName(identity.account);
      if (found === undefined) return undefined;
      const names = await this.#groupReader.of(found);
      return names.map((name) => `${this.#options.netbiosDomain}\\${name}`);
    });
    return groups ?? [];
  }

  async findByUpn(upn: string): Promise<Identity | undefined> {
    return this.#usable(await this.#findByUpn(upn));
  }

  async findByAltSecurityIdentities(values: readonly string[]): Promise<Identity | undefined> {
    if (values.length === 0 || values.some((value) => CONTROL.test(value))) return undefined;
    const { OrFilter, EqualityFilter } = await import("ldapts");
    const filters = values.map((value) => new EqualityFilter({ attribute: "altSecurityIdentities", value }));
    return this.#usable(await this.#findOne(values.join("\n"), new OrFilter({ filters })));
  }

  /**
   * Who bears a name as clients write it; may be disabled.
   * @throws {AppError} ERR_AUTH_UNAVAILABLE
   */
  async findLogonName({ account, domain }: LogonName): Promise<DirectoryAccount | undefined> {
    return this.#isOurs(domain) ? this.#findByName(account) : this.#findByUpn(`${account}@${domain}`);
  }

  /**
   * @param account undefined is checked too, so that it takes as long
   * @throws {AppError} ERR_AUTH_UNAVAILABLE
   */
  async checkPassword(
    account: DirectoryAccount | undefined,
    password: string,
  ): Promise<Identity | undefined> {
    const dn = account?.dn ?? `CN=nobody,${this.#options.baseDn}`;
    const isRight = await this.#session.isPasswordRight(dn, password);
    return isRight ? this.#usable(account) : undefined;
  }

  async close(): Promise<void> {
    await this.#session.close();
  }

  async #findByName(name: string): Promise<DirectoryAccount | undefined> {
    if (!isName(name)) return undefined;
    const { EqualityFilter } = await import("ldapts");
    const filter = new EqualityFilter({ attribute: "sAMAccountName", value: name });
    const account = await this.#findOne(`name\n${fold(name)}`, filter);
    return account !== undefined && fold(account.name) === fold(name) ? account : undefined;
  }

  /** An account without a principal name of its own has that of its domain ([MS-ADTS] §5.1.1.1.1). */
  async #findByUpn(upn: string): Promise<DirectoryAccount | undefined> {
    const at = upn.lastIndexOf("@");
    if (at <= 0 || !isName(upn)) return undefined;
    const { EqualityFilter } = await import("ldapts");
    const filter = new EqualityFilter({ attribute: "userPrincipalName", value: upn });
    const account = await this.#findOne(`upn\n${fold(upn)}`, filter);
    if (account !== undefined) return fold(account.upn ?? "") === fold(upn) ? account : undefined;
    if (upn.slice(at + 1).toLowerCase() !== this.#dnsDomain) return undefined;
    return this.#findByName(upn.slice(0, at));
  }

  #findOne(key: string, filter: Filter): Promise<DirectoryAccount | undefined> {
    return this.#accounts.get(key, async () => {
      const { AndFilter, EqualityFilter } = await import("ldapts");
      const isUser = new EqualityFilter({ attribute: "objectClass", value: "user" });
      const entries = await this.#session.search(this.#options.baseDn, {
        filter: new AndFilter({ filters: [isUser, filter] }),
        attributes: ACCOUNT_ATTRIBUTES,
        explicitBufferAttributes: BINARY_ATTRIBUTES,
        sizeLimit: 2,
      });
      const [entry, second] = entries;
      if (second !== undefined) {
        // Nobody could say who is meant: whoever may write one of them must not become the other.
        this.#options.logger.warn(
          { accounts: entries.map(({ dn }) => dn) },
          "accounts of the directory claim the same",
        );
        return undefined;
      }
      return entry === undefined ? undefined : readAccount(entry);
    });
  }

  #usable(account: DirectoryAccount | undefined): Identity | undefined {
    const { clock, logger, netbiosDomain } = this.#options;
    if (account === undefined) return undefined;
    const hasExpired = account.expiresAt !== undefined && account.expiresAt <= clock.wall();
    if (!account.isEnabled || hasExpired) {
      logger.warn(
        { account: account.name, hasExpired },
        "an account that is disabled, locked or expired is refused",
      );
      return undefined;
    }
    return { name: `${netbiosDomain}\\${account.name}`, account: account.name, domain: netbiosDomain };
  }

  #isOurs(domain: string): boolean {
    return domain.toLowerCase() === this.#options.netbiosDomain.toLowerCase();
  }
}

/**
 * Directories compare loosely: Samba reads a name up to a zero octet only, Windows takes accents for nothing. Here two
 * names are one if they differ in case alone.
 */
function fold(name: string): string {
  return name.normalize("NFC").toLowerCase();
}

function isName(text: string): boolean {
  return text !== "" && text.length <= MAX_NAME_LENGTH && !CONTROL.test(text);
}

// oxlint-disable-next-line eslint/no-control-regex -- control characters are exactly what is refused
const CONTROL = /[\u0000-\u001f\u007f]/;

/** `medv.test` of `DC=medv,DC=test`, also where the base is a folder within it. */
function dnsDomainOf(baseDn: string): string {
  const labels = [...baseDn.matchAll(/(?:^|,)\s*DC\s*=\s*([A-Za-z0-9-]+)\s*(?=,|$)/gi)].map((m) => m[1]);
  if (labels.length === 0) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `authentication.directory.baseDn: ${baseDn} names no domain (DC=medv,DC=test)`,
    );
  }
  return labels.join(".").toLowerCase();
}
