import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import {
  type AuthScheme,
  BasicVerifier,
  basicScheme,
  Lockout,
  NtlmAcceptor,
  type NtlmServerNames,
  negotiateScheme,
  ntlmScheme,
} from "@ckmesh/auth";
import type { Clock } from "@ckmesh/core";
import type { AuthenticationConfig } from "../config/authentication-schema.js";
import { netbiosDomainOf } from "../config/check-config.js";
import { dnsDomainOf, type Judges } from "./open-judges.js";

export interface Schemes {
  /** In the order in which they are offered: Windows' providers, then Basic. */
  readonly list: readonly AuthScheme[];
  /** Forgets right and wrong passwords. */
  forget(): void;
}

/** NetBIOS names are no longer ([MS-NLMP] takes what [RFC1001] allows). */
const MAX_NETBIOS_LENGTH = 15;

/** What clients are offered. */
export function openSchemes(config: AuthenticationConfig, judges: Judges, clock: Clock): Schemes {
  const { basic, windows, lockout: limits } = config;
  // One for all, so that nobody gets twice as many guesses.
  const lockout = new Lockout({ threshold: limits.threshold, lockMs: limits.seconds * 1000 });
  const verifier = new BasicVerifier(judges.passwords, {
    lockout,
    defaultLogonDomain: basic.defaultLogonDomain,
  });
  const list: AuthScheme[] = [];
  if (windows.enabled) {
    const { extendedProtection, ntlm } = windows;
    const acceptor =
      judges.ntlm === undefined
        ? undefined
        : new NtlmAcceptor({
            judge: judges.ntlm,
            lockout,
            names: serverNames(config),
            requireMic: ntlm.requireMic,
            extendedProtection,
            randomBytes,
            wall: () => clock.wall(),
          });
    for (const provider of windows.providers) {
      if (provider === "NTLM") {
        if (acceptor !== undefined) list.push(ntlmScheme(acceptor));
      } else if (acceptor !== undefined || judges.kerberos !== undefined) {
        list.push(
          negotiateScheme({
            ...(judges.kerberos !== undefined && { kerberos: judges.kerberos }),
            ...(acceptor !== undefined && { ntlm: acceptor }),
            requireChannelBinding: extendedProtection.tokenChecking === "Require",
          }),
        );
      }
    }
  }
  if (basic.enabled) {
    list.push(basicScheme({ verifier, realm: basic.realm, allowOverHttp: basic.allowOverHttp }));
  }
  return { list, forget: () => verifier.forget() };
}

function serverNames(config: AuthenticationConfig): NtlmServerNames {
  const dnsHost = hostname();
  const netbiosHost = (dnsHost.split(".", 1)[0] ?? "").slice(0, MAX_NETBIOS_LENGTH).toUpperCase();
  const netbiosDomain = netbiosDomainOf(config)?.toUpperCase();
  const { directory, windows } = config;
  const dnsDomain =
    (directory === undefined ? undefined : dnsDomainOf(directory.baseDn)) ??
    windows.kerberos?.realms[0]?.toLowerCase();
  return {
    netbiosHost,
    dnsHost,
    ...(netbiosDomain !== undefined && { netbiosDomain }),
    ...(dnsDomain !== undefined && { dnsDomain }),
  };
}
