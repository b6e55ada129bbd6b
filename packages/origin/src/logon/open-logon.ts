import { randomBytes } from "node:crypto";
import { Authenticator, type Identity, LocalJudge, type SchemeName } from "@ckmesh/auth";
import type { Clock, Logger } from "@ckmesh/core";
import type { AccessSettings } from "../access/access.js";
import { type LocalUsers, NO_USERS } from "../access/account-file.js";
import { AccountWatch } from "../access/account-watch.js";
import type { CertificateParts } from "../access/certificate-gate.js";
import type { AuthenticationConfig } from "../config/authentication-schema.js";
import { openCertificates } from "./open-certificates.js";
import { type Judges, openJudges } from "./open-judges.js";
import { openSchemes } from "./open-schemes.js";

export interface LogonDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when other accounts count: everybody has to log on anew. */
  readonly onChange: () => void;
}

/** What of a logon the access to images depends on. */
type LogonSettings = Pick<
  AccessSettings,
  "authenticator" | "anonymousEnabled" | "groupsOf" | "persistentSchemes" | "lockSeconds"
>;

/** The back ends and schemes of one configuration. */
export interface Logon {
  /** Another object whenever other accounts count. */
  readonly settings: LogonSettings;
  /** Present where client certificates are configured. */
  readonly certificates: CertificateParts | undefined;
  /** Looks whether the accounts file has changed, when the last look is long ago. */
  refresh(): Promise<void> | undefined;
  /** Looks now. */
  look(): Promise<void>;
  /** Ends helpers and links. */
  close(): Promise<void>;
}

/**
 * Opens the back ends that the configuration names.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export async function openLogon(config: AuthenticationConfig, deps: LogonDeps): Promise<Logon> {
  const { anonymous, accountsFile, windows, clientCertificates } = config;
  const { clock, logger } = deps;
  const local = new LocalJudge(randomBytes);
  let users: LocalUsers = NO_USERS;
  let watch: AccountWatch | undefined;
  if (accountsFile !== undefined) {
    const onChange = (changed: LocalUsers): void => take(changed);
    ({ watch, users } = await AccountWatch.start({ file: accountsFile, clock, logger, onChange }));
    local.replaceAccounts(users.accounts);
  }
  const judges = openJudges(config, { clock, logger, local, users: () => users });
  const schemes = openSchemes(config, judges, clock);
  const makeSettings = (): LogonSettings => ({
    authenticator: new Authenticator(schemes.list, windows),
    anonymousEnabled: anonymous.enabled,
    groupsOf: async (identity) => groupsOf(identity, users, judges),
    persistentSchemes: persistentSchemes(windows),
    lockSeconds: config.lockout.seconds,
  });
  let settings = makeSettings();
  const take = (changed: LocalUsers): void => {
    users = changed;
    local.replaceAccounts(changed.accounts);
    schemes.forget();
    settings = makeSettings();
    deps.onChange();
  };
  let certificates: CertificateParts | undefined;
  try {
    if (clientCertificates !== undefined) {
      certificates = openCertificates(clientCertificates, judges.directory, deps);
    }
  } catch (err) {
    await judges.close();
    throw err;
  }
  return {
    certificates,
    get settings() {
      return settings;
    },
    refresh: () => watch?.refresh(),
    look: async () => watch?.look(),
    close: async () => {
      certificates?.trust.close();
      await judges.close();
    },
  };
}

/** Those of the directory, and the local ones that count them or the user among their members. */
async function groupsOf(
  identity: Identity,
  users: LocalUsers,
  { directory }: Judges,
): Promise<readonly string[]> {
  const domainGroups =
    identity.domain === undefined || directory === undefined ? [] : await directory.groupsOf(identity);
  return [...domainGroups, ...users.groups.groupsOf([identity.name, ...domainGroups])];
}

function persistentSchemes(windows: AuthenticationConfig["windows"]): ReadonlySet<SchemeName> {
  if (windows.authPersistSingleRequest) return new Set();
  // Of Negotiate only the scheme itself knows which of the two it carried.
  return new Set<SchemeName>(windows.authPersistNonNTLM ? ["ntlm", "negotiate"] : ["ntlm"]);
}
