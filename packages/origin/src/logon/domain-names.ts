import type { Identity, LogonName } from "@ckmesh/auth";

export interface DomainNamesOptions {
  /** NetBIOS name, `MEDV`. */
  readonly netbiosDomain: string;
  /** Kerberos realms of the domain, `MEDV.TEST`. */
  readonly realms: readonly string[];
  /** Other names of it that clients may write, `medv.test`. */
  readonly dnsNames: readonly string[];
}

/** One name for everybody of a domain, in whichever way a client wrote it. */
export class DomainNames {
  readonly netbiosDomain: string;
  readonly #realms: ReadonlySet<string>;
  readonly #names: ReadonlySet<string>;

  constructor(options: DomainNamesOptions) {
    this.netbiosDomain = options.netbiosDomain.toUpperCase();
    this.#realms = new Set(options.realms);
    const names = [options.netbiosDomain, ...options.realms, ...options.dnsNames];
    this.#names = new Set(names.map((name) => name.toUpperCase()));
  }

  /** True for the domain's own names; false for none and for every other domain. */
  isOwn(domain: string): boolean {
    return domain !== "" && this.#names.has(domain.toUpperCase());
  }

  /** Of somebody whom the domain let in. Another domain, which the own one trusts, keeps the name it was given. */
  identityOf({ account, domain }: LogonName): Identity {
    const netbios = domain === "" || this.isOwn(domain) ? this.netbiosDomain : domain.toUpperCase();
    return { name: `${netbios}\\${account}`, account, domain: netbios };
  }

  /** `alice@MEDV.TEST`; undefined for a realm that is not the domain's, and for names that are nobody's. */
  identityOfPrincipal(principal: string): Identity | undefined {
    const at = principal.lastIndexOf("@");
    const account = principal.slice(0, at);
    const realm = principal.slice(at + 1);
    // Realms are compared exactly (RFC 4120 §6.1). A service (`host/…`) or WELLKNOWN/ANONYMOUS (RFC 8062) is no user.
    if (at < 1 || !this.#realms.has(realm) || /[/@\\]/.test(account)) return undefined;
    return { name: `${this.netbiosDomain}\\${account}`, account, domain: this.netbiosDomain };
  }
}
