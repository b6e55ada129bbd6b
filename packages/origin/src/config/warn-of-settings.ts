import type { Logger } from "@ckmesh/core";
import type { OriginConfig } from "./config-schema.js";

/** Logs what is valid and most likely not meant: nobody can read, or passwords cross the network in the clear. */
export function warnOfSettings(config: OriginConfig, logger: Logger): void {
  const { anonymous, basic, windows, accountsFile, logon, clientCertificates } = config.authentication;
  const hasAccounts = accountsFile !== undefined || logon.domain !== "none";
  const hasPasswords = hasAccounts && (basic.enabled || windows.enabled);
  const hasOthers = windows.kerberos !== undefined || clientCertificates !== undefined;
  if (!anonymous.enabled && !hasPasswords && !hasOthers) {
    logger.warn({}, "nobody can read: switch anonymous reading on, or say who may log on and how");
  }
  if (basic.enabled && basic.allowOverHttp) {
    logger.warn({}, "passwords are taken over plain HTTP, readable by everyone on the way");
  }
  if (config.bits.BITSUploadEnabled && config.rights.change.length === 0) {
    logger.warn({}, "BITSUploadEnabled is set, but nobody has the right to change: see rights.change");
  }
}
