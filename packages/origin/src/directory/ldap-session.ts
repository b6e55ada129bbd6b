import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { AppError, type Clock, describeError, type Logger } from "@ckmesh/core";
import type { Client, Entry, SearchOptions } from "ldapts";

/** A directory that does not answer within this time counts as dead. */
const DEFAULT_TIMEOUT_MS = 5000;
/** Pause after a failed connection; doubled with each further one. Meanwhile everybody is told at once. */
const FIRST_BACK_OFF_MS = 500;
const MAX_BACK_OFF_MS = 30_000;
/** Result code of a wrong name or password (RFC 4511 appendix A). */
const INVALID_CREDENTIALS = 49;

export interface LdapServer {
  /** `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`. */
  readonly url: string;
  /** Turns a plain connection into a TLS one before anything else is sent. */
  readonly startTls: boolean;
  /** Allows `ldap://` without StartTLS: whoever is on the way reads everything and may invent answers. */
  readonly allowPlain: boolean;
  /** PEM; default: the CAs that Node knows. */
  readonly caFile?: string;
  readonly bindDn: string;
  readonly bindPassword: string;
}

export interface LdapSessionOptions extends LdapServer {
  /** Of a connection, of a question each; default 5 s. */
  readonly timeoutMs?: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * One bound connection to a directory, kept and shared, made anew when it breaks. ldapts would reconnect by itself,
 * but without StartTLS and without the bind: a client whose connection broke is never used again.
 */
export class LdapSession {
  readonly #options: LdapSessionOptions;
  readonly #timeoutMs: number;
  readonly #tls: ConnectionOptions;
  readonly isPlain: boolean;
  #connecting: Promise<Client> | undefined;
  #client: Client | undefined;
  #failures = 0;
  #retryAt = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  /** @throws {AppError} ERR_CONFIG_INVALID */
  constructor(options: LdapSessionOptions) {
    const { protocol, hostname } = parseUrl(options.url);
    const host = hostname.replaceAll(/^\[|\]$/g, ""); // IPv6
    const { startTls, allowPlain, caFile, bindDn, bindPassword } = options;
    this.isPlain = protocol === "ldap:" && !startTls;
    if (this.isPlain && !allowPlain) {
      throw invalid("url: take ldaps://, or ldap:// with startTls; plain LDAP needs allowPlain");
    }
    if (protocol === "ldaps:" && startTls)
      throw invalid("startTls belongs to ldap://, ldaps:// is TLS already");
    // RFC 4513 §5.1.2: such a bind succeeds without proving anything.
    if (bindDn === "" || bindPassword === "")
      throw invalid("bindDn and bindPasswordFile: neither may be empty");
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#tls = {
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(caFile === undefined ? {} : { ca: readCa(caFile) }),
    };
  }

  /**
   * @throws {AppError} ERR_AUTH_UNAVAILABLE when there is no answer, or one that says no
   */
  async search(base: string, options: SearchOptions): Promise<readonly Entry[]> {
    try {
      return await this.#searchOnce(base, options);
    } catch (err) {
      // A kept connection that broke meanwhile (servers end idle ones) says nothing about the server.
      if (!(err instanceof BrokenConnection)) throw err;
      return this.#searchOnce(base, options);
    }
  }

  /**
   * Whether a password is right, on a connection of its own.
   * @param password not empty: a bind without one proves nothing (RFC 4513 §5.1.2)
   * @throws {AppError} ERR_AUTH_UNAVAILABLE
   */
  async isPasswordRight(dn: string, password: string): Promise<boolean> {
    if (dn === "" || password === "") return false;
    this.#refuseWhileDead();
    const client = await this.#open();
    try {
      this.#requireTls(client);
      await client.bind(dn, password);
      return true;
    } catch (err) {
      const code = resultCodeOf(err);
      if (code === INVALID_CREDENTIALS) return false;
      if (code === undefined) this.#backOff(err);
      throw unavailable("cannot check a password", err);
    } finally {
      await end(client);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const client = await this.#connecting?.catch(() => undefined);
    if (client !== undefined) await end(client);
    if (this.#client !== undefined) await end(this.#client);
  }

  async #searchOnce(base: string, options: SearchOptions): Promise<readonly Entry[]> {
    const kept = this.#client?.isBound === true;
    const client = await this.#bound();
    const askedAt = this.#options.clock.now();
    try {
      if (!client.isBound) throw new Error("the connection ended");
      const { searchEntries } = await client.search(base, options);
      return searchEntries;
    } catch (err) {
      if (resultCodeOf(err) === undefined) {
        if (this.#client === client) this.#client = undefined;
        await end(client);
        if (kept && this.#options.clock.now() - askedAt < this.#timeoutMs) throw new BrokenConnection(err);
        this.#backOff(err);
      }
      throw unavailable("a search failed", err);
    }
  }

  async #bound(): Promise<Client> {
    if (this.#client?.isBound === true) return this.#client;
    const { bindDn, bindPassword } = this.#options;
    if (this.#connecting === undefined) this.#refuseWhileDead();
    this.#connecting ??= this.#open()
      .then(async (client) => {
        try {
          this.#requireTls(client);
          await client.bind(bindDn, bindPassword);
        } catch (err) {
          await end(client);
          throw unavailable(`bind as ${bindDn} failed`, err);
        }
        this.#failures = 0;
        this.#client = client;
        return client;
      })
      .catch((err: unknown) => {
        this.#backOff(err);
        throw err;
      })
      .finally(() => {
        this.#connecting = undefined;
      });
    return this.#connecting;
  }

  /** @throws {AppError} ERR_AUTH_UNAVAILABLE */
  #refuseWhileDead(): void {
    if (this.#isClosed) throw unavailable("it is closed", undefined);
    if (this.#options.clock.now() < this.#retryAt) {
      throw unavailable("it did not answer a moment ago", undefined);
    }
  }

  #backOff(err: unknown): void {
    const { clock, logger, url } = this.#options;
    this.#retryAt = clock.now() + Math.min(FIRST_BACK_OFF_MS * 2 ** this.#failures, MAX_BACK_OFF_MS);
    this.#failures += 1;
    logger.error({ err, reason: describeError(err), url }, "no connection to the directory");
  }

  /** A bind over a connection that ended after StartTLS would make a new one, and send the password without TLS. */
  #requireTls(client: Client): void {
    if (this.#options.startTls && !client.isConnected) throw new Error("the connection ended after StartTLS");
  }

  /** A connection on which nothing but StartTLS has happened. */
  async #open(): Promise<Client> {
    const { url, startTls, clock } = this.#options;
    // Loaded when first needed: an origin without a directory starts without it.
    const { Client: LdapClient } = await import("ldapts");
    const isLdaps = url.startsWith("ldaps:");
    const client = new LdapClient({
      url,
      timeout: this.#timeoutMs,
      connectTimeout: this.#timeoutMs,
      ...(isLdaps ? { tlsOptions: this.#tls } : {}),
    });
    if (!startTls) return client; // The bind connects.
    // ldapts sets no limit to the handshake.
    const cancel = clock.after(this.#timeoutMs, () => void end(client));
    try {
      await client.startTLS({ ...this.#tls });
      return client;
    } catch (err) {
      await end(client);
      throw unavailable("StartTLS failed", err);
    } finally {
      cancel();
    }
  }
}

/** A kept connection turned out to be gone. */
class BrokenConnection extends AppError {
  constructor(cause: unknown) {
    super("ERR_AUTH_UNAVAILABLE", `the directory broke the connection: ${describeError(cause)}`, { cause });
  }
}

async function end(client: Client): Promise<void> {
  try {
    await client.unbind();
  } catch {
    // It was broken already; its socket is gone either way.
  }
}

function resultCodeOf(err: unknown): number | undefined {
  return err instanceof Error && "code" in err && typeof err.code === "number" ? err.code : undefined;
}

function unavailable(what: string, cause: unknown): AppError {
  const reason = cause === undefined ? "" : `: ${describeError(cause)}`;
  return new AppError("ERR_AUTH_UNAVAILABLE", `the directory cannot be asked: ${what}${reason}`, { cause });
}

function invalid(what: string): AppError {
  return new AppError("ERR_CONFIG_INVALID", `authentication.directory.${what}`);
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLdap = url?.protocol === "ldap:" || url?.protocol === "ldaps:";
  if (url === undefined || !isLdap || url.hostname === "" || !["", "/"].includes(url.pathname)) {
    throw invalid(`url: ${JSON.stringify(text)} is not of the form ldaps://HOST or ldaps://HOST:PORT`);
  }
  return url;
}

function readCa(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `authentication.directory.ca: cannot read ${file}: ${describeError(cause)}`,
      {
        cause,
      },
    );
  }
}
