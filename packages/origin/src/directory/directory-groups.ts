import type { Entry } from "ldapts";
import {
  BINARY_ATTRIBUTES,
  buffersOf,
  type DirectoryAccount,
  domainOf,
  textOf,
} from "./directory-account.js";
import type { LdapSession } from "./ldap-session.js";
import type { LookupCache } from "./lookup-cache.js";

/** Windows gives no token to somebody in more groups than 1015. */
const MAX_GROUPS = 1024;
/** Groups that are looked up with one search. */
const GROUPS_PER_SEARCH = 100;
/** LDAP_MATCHING_RULE_IN_CHAIN, [MS-ADTS] §3.1.1.3.4.4.3: members of members too. */
const IN_CHAIN = "1.2.840.113556.1.4.1941";
/** GROUP_TYPE_SECURITY_ENABLED, [MS-ADTS] §2.2.12: the sign of the number. */
const isSecurityGroup = (entry: Entry): boolean => textOf(entry, "groupType")?.startsWith("-") === true;

export interface DirectoryGroupsOptions {
  readonly session: LdapSession;
  readonly baseDn: string;
  /** Names of groups by their SID, hex. */
  readonly names: LookupCache<string>;
}

/** Names of the security groups of accounts, without the domain; those of the account's own domain alone. */
export class DirectoryGroups {
  readonly #options: DirectoryGroupsOptions;

  constructor(options: DirectoryGroupsOptions) {
    this.#options = options;
  }

  /** @throws {AppError} ERR_AUTH_UNAVAILABLE */
  async of(account: DirectoryAccount): Promise<readonly string[]> {
    const fromToken = await this.fromToken(account);
    // Everybody has at least a primary group: none at all means that we may not read the attribute.
    return fromToken.length > 0 ? fromToken : this.fromMemberships(account);
  }

  /** From `tokenGroups`, which the directory computes as it does for a logon: fast, whatever the nesting. */
  async fromToken({ dn, sid }: DirectoryAccount): Promise<readonly string[]> {
    const { PresenceFilter } = await import("ldapts");
    // A search of the entry itself alone brings it.
    const [entry] = await this.#options.session.search(dn, {
      scope: "base",
      filter: new PresenceFilter({ attribute: "objectClass" }),
      attributes: ["tokenGroups"],
      explicitBufferAttributes: BINARY_ATTRIBUTES,
    });
    const sids = entry === undefined ? [] : buffersOf(entry, "tokenGroups");
    return this.#namesOf(sids.filter((group) => isOfDomain(group, sid)).slice(0, MAX_GROUPS));
  }

  /** By searches of the groups themselves: slow in large directories, but every account may. */
  async fromMemberships({ dn, sid, primaryGroup }: DirectoryAccount): Promise<readonly string[]> {
    const { EqualityFilter, ExtensibleFilter, OrFilter } = await import("ldapts");
    const { session, baseDn } = this.#options;
    const attributes = ["sAMAccountName", "objectSid", "groupType"];
    const explicitBufferAttributes = BINARY_ATTRIBUTES;
    const isPrimary = new EqualityFilter({ attribute: "objectSid", value: primaryGroup });
    const primary = await session.search(baseDn, {
      filter: isPrimary,
      attributes,
      explicitBufferAttributes,
      sizeLimit: 1,
    });
    // Nobody is listed as a member of their primary group.
    const filters = [dn, ...primary.map((group) => group.dn)].map(
      (value) => new ExtensibleFilter({ matchType: "member", rule: IN_CHAIN, value }),
    );
    const groups = await session.search(baseDn, {
      filter: new OrFilter({ filters }),
      attributes,
      explicitBufferAttributes,
      sizeLimit: MAX_GROUPS,
    });
    return [...primary, ...groups].flatMap((group) => {
      const [groupSid] = buffersOf(group, "objectSid");
      const name = textOf(group, "sAMAccountName");
      if (groupSid === undefined || name === undefined || !isSecurityGroup(group)) return [];
      return isOfDomain(groupSid, sid) ? [name] : [];
    });
  }

  /** Names that the cache does not have are asked for many at a time. */
  async #namesOf(sids: readonly Buffer[]): Promise<readonly string[]> {
    const names: (string | undefined)[] = [];
    for (let i = 0; i < sids.length; i += GROUPS_PER_SEARCH) {
      const batch = sids.slice(i, i + GROUPS_PER_SEARCH);
      let answer: Promise<ReadonlyMap<string, string>> | undefined;
      const found = batch.map((sid) =>
        this.#options.names.get(sid.toString("hex"), async () => {
          answer ??= this.#readNames(batch);
          return (await answer).get(sid.toString("hex"));
        }),
      );
      names.push(...(await Promise.all(found)));
    }
    return names.filter((name) => name !== undefined);
  }

  async #readNames(sids: readonly Buffer[]): Promise<ReadonlyMap<string, string>> {
    const { EqualityFilter, OrFilter } = await import("ldapts");
    const filters = sids.map((value) => new EqualityFilter({ attribute: "objectSid", value }));
    const entries = await this.#options.session.search(this.#options.baseDn, {
      filter: new OrFilter({ filters }),
      attributes: ["sAMAccountName", "objectSid"],
      explicitBufferAttributes: BINARY_ATTRIBUTES,
      sizeLimit: sids.length,
    });
    return new Map(entries.flatMap((entry) => sidAndName(entry)));
  }
}

/** The others belong to other domains, or say what somebody is on the domain controller. */
function isOfDomain(group: Buffer, account: Buffer): boolean {
  return group.length === account.length && domainOf(group).equals(domainOf(account));
}

function sidAndName(entry: Entry): readonly (readonly [string, string])[] {
  const [sid] = buffersOf(entry, "objectSid");
  const name = textOf(entry, "sAMAccountName");
  return sid === undefined || name === undefined ? [] : [[sid.toString("hex"), name]];
}
