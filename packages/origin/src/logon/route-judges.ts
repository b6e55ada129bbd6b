import {
  type Accounts,
  type LocalJudge,
  type LogonName,
  type NtlmJudge,
  type PasswordJudge,
  parseLogonName,
} from "@ckmesh/auth";
import type { DomainNames } from "./domain-names.js";

export interface RouteOptions {
  readonly local: LocalJudge;
  /** Those that count now. */
  readonly accounts: () => Accounts;
  readonly domains: DomainNames;
}

/** Local accounts and those of the domain: whose name it is decides who judges, and nobody else is asked. */
export function routePasswords(domain: PasswordJudge, options: RouteOptions): PasswordJudge {
  return {
    check: async (name, password) => (isLocal(name, options) ? options.local : domain).check(name, password),
  };
}

/** As `routePasswords`, for NTLM. */
export function routeNtlm(domain: NtlmJudge, options: RouteOptions): NtlmJudge {
  return {
    judge: async (response) =>
      (isLocal(whole(response.name), options) ? options.local : domain).judge(response),
  };
}

/** Some clients write all of a name into the field of the account. */
export function whole({ account, domain }: LogonName): LogonName {
  const parsed = parseLogonName(account);
  return { account: parsed.account, domain: parsed.domain === "" ? domain : parsed.domain };
}

/**
 * A name of the domain is the domain's. Any other is local if there is such an account: Windows machines put
 * their own name where they know of no domain.
 */
function isLocal({ account, domain }: LogonName, { accounts, domains }: RouteOptions): boolean {
  return !domains.isOwn(domain) && accounts().find(account.normalize("NFC")) !== undefined;
}
