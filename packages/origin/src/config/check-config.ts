import { accessSync, constants } from "node:fs";
import { AppError, describeError, parseDuration } from "@ckmesh/core";
import { bitsSettings } from "../bits/bits-settings.js";
import type { OriginConfig } from "./config-schema.js";

/** A version that clients do not get for longer was forgotten. */
const MAX_WAIT_MS = 86_400_000;

/**
 * What a schema cannot say: settings that need each other.
 * @throws {AppError} ERR_CONFIG_INVALID naming the key and what to do
 */
export function checkOriginConfig(config: OriginConfig): void {
  checkListeners(config);
  checkWindows(config);
  checkDomain(config);
  checkCertificates(config);
  bitsSettings(config.bits);
  if (parseDuration(config.deltas.wait) > MAX_WAIT_MS) {
    throw invalid(`deltas.wait is ${config.deltas.wait}, at most 24h`);
  }
}

function checkListeners({ tlsListen, certListen, tlsCert, tlsKey, authentication }: OriginConfig): void {
  for (const [key, flag, value] of [
    ["tlsListen", "--tls-listen", tlsListen],
    ["certListen", "--cert-listen", certListen],
  ] as const) {
    if (value !== undefined && (tlsCert === undefined || tlsKey === undefined)) {
      throw invalid(`${key} (${flag}) needs tlsCert and tlsKey (--tls-cert, --tls-key)`);
    }
  }
  if (certListen !== undefined && authentication.clientCertificates === undefined) {
    throw invalid(
      "certListen needs authentication.clientCertificates.ca: the CAs whose client certificates count",
    );
  }
}

function checkWindows(config: OriginConfig): void {
  const { windows, accountsFile, logon } = config.authentication;
  if (!windows.enabled) return;
  const { providers, kerberos, extendedProtection } = windows;
  if (new Set<string>(providers).size !== providers.length) {
    throw invalid(`authentication.windows.providers names ${providers[0]} twice`);
  }
  if (kerberos !== undefined) {
    readable("authentication.windows.kerberos.keytab", kerberos.keytab);
    if (!providers.includes("Negotiate")) {
      throw invalid(
        "authentication.windows.kerberos needs Negotiate among authentication.windows.providers: Kerberos comes in it",
      );
    }
  }
  if (kerberos === undefined && accountsFile === undefined && logon.domain !== "winbind") {
    throw invalid(
      "authentication.windows.enabled needs accounts: accountsFile, logon.domain winbind, or windows.kerberos",
    );
  }
  const { listen, tlsListen } = config;
  const isPlainOpen = listen !== undefined || (tlsListen === undefined && config.certListen === undefined);
  if (extendedProtection.tokenChecking === "Require" && isPlainOpen) {
    throw invalid(
      "authentication.windows.extendedProtection.tokenChecking Require binds logons to TLS, but there is a plain listener (listen): " +
        "leave listen out, or set Allow",
    );
  }
}

function checkDomain({ authentication }: OriginConfig): void {
  const { logon, windows, basic, directory } = authentication;
  if (logon.domain === "ldap" && directory === undefined) {
    throw invalid("authentication.logon.domain ldap needs authentication.directory");
  }
  if (logon.domain === "ldap" && windows.enabled && windows.kerberos === undefined && !basic.enabled) {
    throw invalid(
      "authentication.logon.domain ldap judges passwords of Basic only: switch basic on, or use winbind",
    );
  }
  const netbiosDomain = netbiosDomainOf(authentication);
  const needsName = windows.kerberos !== undefined || logon.domain !== "none";
  if (needsName && netbiosDomain === undefined) {
    throw invalid(
      "authentication.windows.netbiosDomain is missing: the domain's short name, MEDV in MEDV\\alice, which rights and logs use",
    );
  }
  if (
    directory !== undefined &&
    windows.netbiosDomain !== undefined &&
    directory.netbiosDomain.toUpperCase() !== windows.netbiosDomain.toUpperCase()
  ) {
    throw invalid(
      `authentication.windows.netbiosDomain is ${windows.netbiosDomain}, authentication.directory.netbiosDomain ${directory.netbiosDomain}: they name one domain`,
    );
  }
}

/** The short name of the domain, wherever it is configured. */
export function netbiosDomainOf({ windows, directory }: OriginConfig["authentication"]): string | undefined {
  return windows.netbiosDomain ?? directory?.netbiosDomain;
}

function checkCertificates({ authentication }: OriginConfig): void {
  const { clientCertificates, directory } = authentication;
  if (clientCertificates === undefined) return;
  if (clientCertificates.directoryMapping !== undefined && directory === undefined) {
    throw invalid("authentication.clientCertificates.directoryMapping needs authentication.directory");
  }
  for (const [i, { permission, account, name }] of (clientCertificates.manyToOneMappings ?? []).entries()) {
    if (permission === "permit" && account === undefined) {
      throw invalid(
        `authentication.clientCertificates.manyToOneMappings[${i}]${name === undefined ? "" : ` (${name})`} permits, but names no account`,
      );
    }
  }
}

function readable(key: string, file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (cause) {
    throw invalid(`${key}: cannot read ${file}: ${describeError(cause)}`, cause);
  }
}

function invalid(message: string, cause?: unknown): AppError {
  return new AppError("ERR_CONFIG_INVALID", message, cause === undefined ? {} : { cause });
}
