import { AppError } from "@ckmesh/core";
import { parseAuthorization } from "./authorization-header.js";
import type { AuthOutcome, AuthScheme, ConnectionFacts, SchemeSession, SchemeStep } from "./scheme.js";

/** IIS's switches of the same names, on how long a proven identity counts. */
export interface PersistenceSwitches {
  /** A Kerberos logon counts for the whole connection; false: each request brings its ticket. */
  readonly authPersistNonNTLM: boolean;
  /** No logon outlives its request, NTLM included. */
  readonly authPersistSingleRequest: boolean;
}

/** One request of a connection, as far as it matters for who sent it. */
export interface AuthRequest {
  /** The Authorization header as received. */
  readonly authorization: string | undefined;
  /** Came through a hop that is not trusted (Via, X-Forwarded-For): its user is not remembered. */
  readonly isProxied: boolean;
  /** Monotonic ms. */
  readonly now: number;
}

/**
 * A logon of a connection is proven again after this, ms: the account may have been disabled meanwhile, and whoever
 * asks every few seconds never lets the connection end. As long as IIS keeps the token of a user (UserTokenTTL).
 */
const REMEMBERED_MS = 15 * 60_000;
/** Requests of one connection that wait for a check; servers answer in order and keep them few. */
const MAX_WAITING = 64;

/**
 * Finds out who sends the requests of one connection. Made by `Authenticator.connect`, one per socket.
 *
 * A user is remembered only after the check, and forgotten by the next Authorization header, whatever it
 * holds. Requests that come while a check is awaited wait for it.
 */
export class ConnectionAuth {
  readonly #persistence: PersistenceSwitches;
  readonly #sessions: ReadonlyMap<string, { readonly challenge: string; readonly session: SchemeSession }>;
  #user: Extract<AuthOutcome, { type: "user" }> | undefined;
  /** Monotonic ms. */
  #userUntil = 0;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(schemes: readonly AuthScheme[], persistence: PersistenceSwitches, connection: ConnectionFacts) {
    this.#persistence = persistence;
    this.#sessions = new Map(
      schemes.flatMap((scheme) => {
        const challenge = scheme.challenge(connection);
        return challenge === undefined
          ? []
          : [[scheme.name, { challenge, session: scheme.open(connection) }]];
      }),
    );
  }

  /** One `WWW-Authenticate` line per offered scheme; none where no scheme may be used. */
  challenges(): readonly string[] {
    return [...this.#sessions.values()].map(({ challenge }) => challenge);
  }

  /** @throws {AppError} ERR_RATE_LIMITED; ERR_AUTH_UNAVAILABLE when a back end does not answer */
  async authenticate(request: AuthRequest): Promise<AuthOutcome> {
    if (this.#waiting >= MAX_WAITING) {
      throw new AppError("ERR_RATE_LIMITED", "too many requests of one connection wait for a check", {
        details: { retryMs: 2000 },
      });
    }
    this.#waiting += 1;
    const turn = this.#last.then(() => this.#authenticate(request));
    // The next one waits for the end of this one, not for its success.
    this.#last = turn.catch(() => undefined);
    return turn.finally(() => {
      this.#waiting -= 1;
    });
  }

  async #authenticate({ authorization, isProxied, now }: AuthRequest): Promise<AuthOutcome> {
    // Through a shared hop the connection is everybody's: what it has proven before counts no more.
    if (authorization !== undefined || isProxied || now >= this.#userUntil) this.#user = undefined;
    if (authorization === undefined) return this.#user ?? { type: "anonymous" };
    if (this.#sessions.size === 0) return { type: "anonymous" };
    const parsed = parseAuthorization(authorization);
    if (parsed === undefined) return { type: "refused", reason: "malformed" };
    const entry = this.#sessions.get(parsed.scheme);
    if (entry === undefined) return { type: "refused", reason: "scheme not offered" };
    const step = await entry.session.step(parsed.token, now);
    const { outcome } = step;
    if (outcome.type !== "user") return outcome;
    if (outcome.identity.name === "") {
      // Rights and logs go by the name: a back end that names nobody has not answered.
      throw new AppError("ERR_AUTH_UNAVAILABLE", "the logon back end accepted a credential and named nobody");
    }
    if (!isProxied && this.#isPersistent(step)) {
      this.#user = { type: "user", identity: outcome.identity, scheme: outcome.scheme };
      this.#userUntil = now + REMEMBERED_MS;
    }
    return outcome;
  }

  #isPersistent({ persistence }: SchemeStep): boolean {
    const { authPersistNonNTLM, authPersistSingleRequest } = this.#persistence;
    if (authPersistSingleRequest) return false;
    return persistence === "connection" || (persistence === "non-ntlm" && authPersistNonNTLM);
  }
}
