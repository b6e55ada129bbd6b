import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { KerberosJudge, LocalJudge, NtlmJudge, PasswordJudge } from "@ckmesh/auth";
import { AppError, type Clock, describeError, type Logger } from "@ckmesh/core";
import type { LocalUsers } from "../access/account-file.js";
import type { AuthenticationConfig } from "../config/authentication-schema.js";
import { netbiosDomainOf } from "../config/check-config.js";
import { LdapDirectory } from "../directory/ldap-directory.js";
import { LdapPasswordJudge } from "../directory/ldap-password-judge.js";
import { DomainNames } from "./domain-names.js";
import { HelperPool } from "./helper-pool.js";
import { openKerberosJudge } from "./kerberos-judge.js";
import { isEmptyBlock } from "./ntlm-server-1.js";
import { routeNtlm, routePasswords } from "./route-judges.js";
import { winbindNtlmJudge, winbindPasswordJudge } from "./winbind-judges.js";

/** The back ends of one configuration. */
export interface Judges {
  readonly passwords: PasswordJudge;
  /** Absent where nothing can judge NTLM. */
  readonly ntlm: NtlmJudge | undefined;
  readonly kerberos: KerberosJudge | undefined;
  readonly directory: LdapDirectory | undefined;
  close(): Promise<void>;
}

export interface JudgesDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly local: LocalJudge;
  readonly users: () => LocalUsers;
}

/** How long groups are remembered where the configuration does not say. */
const DIRECTORY_CACHE_SECONDS = 300;

/** @throws {AppError} ERR_CONFIG_INVALID */
export function openJudges(config: AuthenticationConfig, deps: JudgesDeps): Judges {
  const { accountsFile, basic, logon, windows } = config;
  const { clock, logger, local } = deps;
  const domains = domainNamesOf(config);
  const directory = openDirectory(config, deps);
  const route = { local, accounts: () => deps.users().accounts, domains };
  let pool: HelperPool | undefined;
  let passwords: PasswordJudge = local;
  let ntlm: NtlmJudge | undefined = accountsFile === undefined ? undefined : local;
  if (logon.domain === "winbind") {
    const [program = "ntlm_auth", ...args] = logon.ntlmAuth;
    const command = [program, ...args, "--helper-protocol=ntlm-server-1"] as const;
    pool = new HelperPool({ command, isHarmless: isEmptyBlock, clock, logger });
    pool.start();
    const winbind = winbindNtlmJudge(pool, domains, directory);
    ntlm = routeNtlm(winbind, route);
    if (basic.enabled) {
      passwords = routePasswords(winbindPasswordJudge(winbind, domains, { randomBytes, clock }), route);
    }
  } else if (logon.domain === "ldap" && directory !== undefined) {
    passwords = routePasswords(new LdapPasswordJudge(directory, basic.defaultLogonDomain), route);
  }
  return {
    passwords,
    ntlm,
    kerberos: windows.enabled ? openKerberos(windows.kerberos, domains, logger) : undefined,
    directory,
    close: async () => {
      pool?.close();
      await directory?.close();
    },
  };
}

function domainNamesOf(config: AuthenticationConfig): DomainNames {
  const { windows, directory } = config;
  const dnsDomain = directory === undefined ? undefined : dnsDomainOf(directory.baseDn);
  return new DomainNames({
    netbiosDomain: netbiosDomainOf(config) ?? "",
    realms: windows.kerberos?.realms ?? [],
    dnsNames: dnsDomain === undefined ? [] : [dnsDomain],
  });
}

/** `DC=medv,DC=test` → `medv.test`; undefined for a tree without such names. */
export function dnsDomainOf(baseDn: string): string | undefined {
  const labels = [...baseDn.matchAll(/(?:^|,)\s*DC\s*=\s*([^,]+)/gi)].map((m) => (m[1] ?? "").trim());
  return labels.length === 0 ? undefined : labels.join(".").toLowerCase();
}

function openKerberos(
  kerberos: AuthenticationConfig["windows"]["kerberos"],
  domains: DomainNames,
  logger: Logger,
): KerberosJudge | undefined {
  return kerberos === undefined ? undefined : openKerberosJudge({ keytab: kerberos.keytab, domains, logger });
}

function openDirectory(
  { directory }: AuthenticationConfig,
  { clock, logger }: JudgesDeps,
): LdapDirectory | undefined {
  if (directory === undefined) return undefined;
  const { url, ca, startTls, allowPlain, bindDn, bindPasswordFile, baseDn, netbiosDomain } = directory;
  return new LdapDirectory({
    url,
    startTls: startTls ?? false,
    allowPlain: allowPlain ?? false,
    ...(ca !== undefined && { caFile: ca }),
    bindDn,
    bindPassword: readSecret("authentication.directory.bindPasswordFile", bindPasswordFile),
    baseDn,
    netbiosDomain,
    cacheMs: (directory.cacheSeconds ?? DIRECTORY_CACHE_SECONDS) * 1000,
    clock,
    logger,
  });
}

/** The first line of a file. */
function readSecret(key: string, file: string): string {
  let secret: string;
  try {
    secret = readFileSync(file, "utf8").split(/\r?\n/, 1)[0] ?? "";
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `${key}: cannot read ${file}: ${describeError(cause)}`, {
      cause,
    });
  }
  if (secret === "") {
    throw new AppError("ERR_CONFIG_INVALID", `${key}: ${file} is empty; its first line is the password`);
  }
  return secret;
}
