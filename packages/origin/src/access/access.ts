import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import {
  type Authenticator,
  type AuthOutcome,
  type ConnectionAuth,
  dependsOnGroups,
  type Identity,
  isGranted,
  type Right,
  type Rights,
  type SchemeName,
} from "@ckmesh/auth";
import type { Clock } from "@ckmesh/core";
import { RequestError, SUB_STATUS } from "../listener/http-failure.js";
import { plainAddress } from "../listener/request-facts.js";
import type { LogonAudit } from "../logon/logon-audit.js";
import type { Entrance } from "./entrance.js";
import type { NetworkList } from "./network-list.js";

/** What may change while the origin runs. */
export interface AccessSettings {
  /** Another object = everybody logs on anew. */
  readonly authenticator: Authenticator;
  readonly rights: Rights;
  readonly anonymousEnabled: boolean;
  /** Groups of somebody, local ones and those of the directory. */
  readonly groupsOf: (identity: Identity) => Promise<readonly string[]>;
  readonly trustedProxies: NetworkList;
  /** Schemes that count for the connection: said in `Persistent-Auth`, as IIS does. */
  readonly persistentSchemes: ReadonlySet<SchemeName>;
  /** How long an account or an address is locked: when somebody may ask again. */
  readonly lockSeconds: number;
}

export interface AccessOptions {
  readonly settings: AccessSettings;
  readonly clock: Clock;
  readonly audit: LogonAudit;
}

/** Who sends a request. */
export interface Visitor {
  /** Undefined = nobody known. */
  readonly identity: Identity | undefined;
  /** Lines that go with the answer, whichever it is. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connection: Connection;
}

/** What is kept of a connection, as long as it lives. */
interface Connection {
  readonly auth: ConnectionAuth;
  readonly settings: AccessSettings;
  readonly address: string;
  readonly verdicts: Map<Right, Verdict>;
  /** The logon that was written down last; Basic repeats it with each request. */
  audited: string | undefined;
  /** The right Basic credential that came last. */
  basic: ProvenBasic | undefined;
}

interface ProvenBasic {
  readonly authorization: string;
  readonly identity: Identity;
  readonly at: number;
}

interface Verdict {
  readonly name: string | undefined;
  readonly isGranted: boolean;
  readonly at: number;
}

/** How long a right counts on a connection before groups are looked at again. */
const VERDICT_MS = 30_000;

/** How long a Basic credential that repeats on a connection is not checked again, not even from memory. */
const BASIC_MS = 5000;
const NO_HEADERS = {};

/** Who sends a request and whether they may: 401, 403 and their headers are decided here. */
export class Access {
  readonly #clock: Clock;
  readonly #audit: LogonAudit;
  readonly #connections = new WeakMap<Socket, Connection>();
  #settings: AccessSettings;

  constructor(options: AccessOptions) {
    this.#settings = options.settings;
    this.#clock = options.clock;
    this.#audit = options.audit;
  }

  get settings(): AccessSettings {
    return this.#settings;
  }

  /** From the next request on, also on connections under way; what is being answered goes on. */
  replace(settings: AccessSettings): void {
    this.#settings = settings;
  }

  /**
   * @throws {RequestError} ERR_AUTH_REQUIRED: with every challenge when a credential is wrong, or missing where
   *   anonymous reading is off; with one line while the client has more to say; ERR_AUTH_FORBIDDEN where no
   *   credential can be given without TLS, or the client certificate is not good enough
   * @throws {AppError} ERR_RATE_LIMITED, also while account or address are locked; ERR_AUTH_UNAVAILABLE
   */
  async identify(request: Pick<IncomingMessage, "socket" | "headers">, entrance: Entrance): Promise<Visitor> {
    const connection = this.#connectionOf(request.socket, entrance);
    if (entrance.certificateOf !== undefined) {
      const identity = await this.#byCertificate(request.socket, entrance.certificateOf, connection);
      return { identity, headers: {}, connection };
    }
    const { authorization } = request.headers;
    const isProxied = this.#isProxied(request, connection.address);
    const now = this.#clock.now();
    const proven = connection.basic;
    if (proven !== undefined && proven.authorization === authorization && !isProxied) {
      if (now - proven.at < BASIC_MS) {
        return { identity: proven.identity, headers: NO_HEADERS, connection };
      }
    }
    connection.basic = undefined;
    const outcome = await connection.auth.authenticate({ authorization, isProxied, now });
    switch (outcome.type) {
      case "user":
        if (authorization !== undefined) {
          this.#noteLogon(connection, outcome);
          const { scheme, identity } = outcome;
          if (scheme === "basic" && !isProxied) connection.basic = { authorization, identity, at: now };
        }
        return {
          identity: outcome.identity,
          headers: authorization === undefined ? {} : this.#successHeaders(outcome, isProxied),
          connection,
        };
      case "anonymous":
        if (this.#settings.anonymousEnabled) return { identity: undefined, headers: {}, connection };
        throw this.#unauthorized(connection, SUB_STATUS.logonNeeded);
      case "continue":
        throw unauthorized(SUB_STATUS.logonFailed, [outcome.challenge]);
      case "refused": {
        const isLocked = outcome.reason === "locked";
        this.#audit.failed({
          user: outcome.user,
          address: connection.address,
          method: schemeOf(authorization),
          status: isLocked ? 429 : 401,
          subStatus: SUB_STATUS.logonFailed,
          reason: outcome.reason,
        });
        connection.audited = undefined;
        throw isLocked
          ? locked(this.#settings.lockSeconds)
          : this.#unauthorized(connection, SUB_STATUS.logonFailed);
      }
    }
  }

  /**
   * @throws {RequestError} ERR_AUTH_FORBIDDEN, for nobody known ERR_AUTH_REQUIRED
   * @throws {AppError} ERR_AUTH_UNAVAILABLE when groups decide and the directory does not answer
   */
  async require(right: Right, visitor: Visitor): Promise<void> {
    if (await this.isGranted(right, visitor)) return;
    if (visitor.identity === undefined) {
      throw this.#unauthorized(visitor.connection, SUB_STATUS.deniedToAnonymous);
    }
    throw new RequestError(
      "ERR_AUTH_FORBIDDEN",
      `${visitor.identity.name} does not have the right to ${right}`,
      { subStatus: SUB_STATUS.readForbidden },
    );
  }

  /** @throws {AppError} ERR_AUTH_UNAVAILABLE */
  async isGranted(right: Right, { identity, connection }: Visitor): Promise<boolean> {
    const now = this.#clock.now();
    const known = connection.verdicts.get(right);
    if (known !== undefined && known.name === identity?.name && now - known.at < VERDICT_MS) {
      return known.isGranted;
    }
    const { rights, anonymousEnabled, groupsOf } = this.#settings;
    const principal = { user: identity?.name, anonymousEnabled };
    const groups =
      identity !== undefined && dependsOnGroups(rights, right, principal) ? await groupsOf(identity) : [];
    const verdict = isGranted(rights, right, { ...principal, groups });
    connection.verdicts.set(right, { name: identity?.name, isGranted: verdict, at: now });
    return verdict;
  }

  /** Writes down a certificate that the TLS library refused before there was a request. */
  certificateWasForged(socket: Socket): void {
    this.#certificateFailed(
      plainAddress(socket.remoteAddress ?? ""),
      SUB_STATUS.certificateUntrusted,
      "the client certificate bears a wrong signature",
    );
  }

  #connectionOf(socket: Socket, entrance: Entrance): Connection {
    const known = this.#connections.get(socket);
    if (known?.settings === this.#settings) return known;
    const isSameLogon = known?.settings.authenticator === this.#settings.authenticator;
    const facts = entrance.factsOf(socket);
    const connection: Connection = {
      auth: known !== undefined && isSameLogon ? known.auth : this.#settings.authenticator.connect(facts),
      settings: this.#settings,
      address: facts.address,
      verdicts: new Map(),
      audited: known?.audited,
      basic: undefined,
    };
    this.#connections.set(socket, connection);
    return connection;
  }

  async #byCertificate(
    socket: Socket,
    certificateOf: (socket: Socket) => Promise<Identity>,
    connection: Connection,
  ): Promise<Identity> {
    try {
      const identity = await certificateOf(socket);
      this.#noteLogon(connection, { identity, scheme: "certificate" });
      return identity;
    } catch (err) {
      if (err instanceof RequestError && err.code === "ERR_AUTH_FORBIDDEN") {
        this.#certificateFailed(connection.address, err.subStatus, err.message);
      }
      throw err;
    }
  }

  #certificateFailed(address: string, subStatus: number, reason: string): void {
    this.#audit.failed({ user: undefined, address, method: "certificate", status: 403, subStatus, reason });
  }

  /** A logon is written down once per connection. */
  #noteLogon(
    connection: Connection,
    logon: { readonly identity: Identity; readonly scheme: SchemeName },
  ): void {
    const key = `${logon.scheme} ${logon.identity.name}`;
    if (connection.audited === key) return;
    connection.audited = key;
    this.#audit.succeeded({
      user: logon.identity.name,
      address: connection.address,
      method: logon.scheme,
    });
  }

  #successHeaders(
    outcome: Extract<AuthOutcome, { readonly type: "user" }>,
    isProxied: boolean,
  ): Readonly<Record<string, string>> {
    const isKept = !isProxied && this.#settings.persistentSchemes.has(outcome.scheme);
    return {
      ...(outcome.reply !== undefined && { "WWW-Authenticate": outcome.reply }),
      ...(isKept && { "Persistent-Auth": "true" }),
    };
  }

  /** A hop that is not trusted may send the requests of several people on one connection. */
  #isProxied({ headers }: Pick<IncomingMessage, "headers">, address: string): boolean {
    const isForwarded =
      headers.via !== undefined ||
      headers["x-forwarded-for"] !== undefined ||
      headers.forwarded !== undefined;
    return isForwarded && !this.#settings.trustedProxies.contains(address);
  }

  #unauthorized({ auth }: Connection, subStatus: number): RequestError {
    const challenges = auth.challenges();
    if (challenges.length > 0) return unauthorized(subStatus, challenges);
    // A 401 must say how to authenticate (RFC 9110 §15.5.2); here there is no way.
    return new RequestError(
      "ERR_AUTH_FORBIDDEN",
      "no way to authenticate is open here: it is switched off, or passwords are taken over TLS only (use https)",
      { subStatus: SUB_STATUS.tlsRequired },
    );
  }
}

function unauthorized(subStatus: number, challenges: readonly string[]): RequestError {
  return new RequestError(
    "ERR_AUTH_REQUIRED",
    "authentication is required, or the credentials are not right",
    { subStatus, headers: { "WWW-Authenticate": challenges } },
  );
}

/**
 * Right and wrong passwords get it alike. Not 401: the lock may be a neighbour's doing, and a client that takes its own
 * password for wrong stays away for much longer.
 */
function locked(seconds: number): RequestError {
  return new RequestError("ERR_RATE_LIMITED", "too many wrong passwords: no logon is judged for a while", {
    subStatus: SUB_STATUS.logonFailed,
    headers: { "Retry-After": String(seconds) },
  });
}

/** What a refused client tried; anything else than a name is not repeated. */
function schemeOf(authorization: string | undefined): string {
  return /^(?:basic|ntlm|negotiate)(?= )/i.exec(authorization ?? "")?.[0].toLowerCase() ?? "unknown";
}
