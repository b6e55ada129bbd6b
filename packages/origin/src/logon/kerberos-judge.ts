import { createRequire } from "node:module";
import { type KerberosJudge, WorkQueue } from "@ckmesh/auth";
import { AppError, describeError, type Logger } from "@ckmesh/core";
import type { DomainNames } from "./domain-names.js";

/** What is used of the package `kerberos` 7; its own types say no more. */
interface KerberosPackage {
  initializeServer(service: string): Promise<KerberosServer>;
}
interface KerberosServer {
  /** Base64 in and out. Rejects what GSSAPI does not accept, replays among it. */
  step(token: string): Promise<unknown>;
  readonly username?: unknown;
  readonly contextComplete?: unknown;
}

export interface KerberosJudgeOptions {
  readonly keytab: string;
  readonly domains: DomainNames;
  readonly logger: Logger;
  /** Finds the package; only tests give another one. */
  readonly load?: () => unknown;
}

/** Any HTTP/… key of the keytab: browsers ask for the name in the URL. */
const SERVICE = "HTTP";
/** Each check takes a thread of the pool that also reads files. */
const MAX_CHECKS_AT_ONCE = 2;
/** Checks that wait; more are turned away. */
const MAX_CHECKS_WAITING = 64;
const INSTALL =
  "npm install --global kerberos@7.0.0 (needs a compiler, python3 and libkrb5-dev), then start the origin with NODE_PATH=$(npm root --global)";

/**
 * Accepts Kerberos tickets through the package `kerberos`, which is not part of ckmesh: it has to be compiled.
 * @returns undefined where it is not installed; the log says how to get it
 */
export function openKerberosJudge(options: KerberosJudgeOptions): KerberosJudge | undefined {
  const { keytab, domains, logger } = options;
  useKeytab(keytab);
  let library: KerberosPackage;
  try {
    library = parsePackage((options.load ?? loadPackage)());
  } catch (err) {
    logger.error(
      { reason: describeError(err).split("\n", 1)[0], install: INSTALL },
      "kerberos is not installed: Negotiate takes NTLM only",
    );
    return undefined;
  }
  const queue = new WorkQueue(MAX_CHECKS_AT_ONCE, MAX_CHECKS_WAITING);
  return {
    accept: async (token) => {
      const base64 = Buffer.from(token).toString("base64");
      const accepted = await queue.run(() => {
        useKeytab(keytab); // A reload that failed may have named another one.
        return acceptToken(library, base64, logger);
      });
      const identity = accepted === undefined ? undefined : domains.identityOfPrincipal(accepted.principal);
      if (accepted === undefined) return undefined;
      if (identity === undefined) {
        logger.warn(
          { principal: accepted.principal },
          "kerberos principal of a realm that is not configured",
        );
        return undefined;
      }
      return { identity, ...(accepted.reply !== undefined && { reply: accepted.reply }) };
    },
  };
}

/** The library reads it when it is loaded, and later; the replay cache stays as the system has it: on. */
function useKeytab(keytab: string): void {
  process.env["KRB5_KTNAME"] = keytab;
}

/** By `require`: that also finds what is installed globally and named in NODE_PATH. */
function loadPackage(): unknown {
  return createRequire(import.meta.url)("kerberos");
}

function parsePackage(value: unknown): KerberosPackage {
  if (typeof value !== "object" || value === null || !("initializeServer" in value)) {
    throw new Error("the package kerberos is not the one that is known here");
  }
  const { initializeServer } = value;
  if (typeof initializeServer !== "function")
    throw new Error("the package kerberos is not the one that is known here");
  return {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a foreign function; what it gives is checked
    initializeServer: async (service) => (await initializeServer(service)) as KerberosServer,
  };
}

/** @throws {AppError} ERR_AUTH_UNAVAILABLE when the keys cannot be used */
async function acceptToken(
  library: KerberosPackage,
  token: string,
  logger: Logger,
): Promise<{ readonly principal: string; readonly reply?: Uint8Array } | undefined> {
  let server: KerberosServer;
  try {
    server = await library.initializeServer(SERVICE);
  } catch (cause) {
    logger.error({ reason: describeError(cause) }, "kerberos cannot use its keytab");
    throw new AppError("ERR_AUTH_UNAVAILABLE", "kerberos cannot use its keytab", { cause });
  }
  let reply: unknown;
  try {
    reply = await server.step(token);
  } catch (err) {
    // A ticket for an older key, a replay, a wrong clock, or nonsense: what it is only GSSAPI's text says.
    logger.info({ reason: describeError(err) }, "kerberos ticket refused");
    return undefined;
  }
  const { username, contextComplete } = server;
  if (contextComplete !== true || typeof username !== "string" || username === "") return undefined;
  return {
    principal: username,
    ...(typeof reply === "string" && reply !== "" && { reply: Buffer.from(reply, "base64") }),
  };
}
