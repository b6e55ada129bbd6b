import { AppError } from "@ckmesh/core";
import { parseAuthorization } from "./authorization-header.js";
import type { AuthOutcome, AuthScheme, ConnectionFacts, SchemeSession } from "./scheme.js";

/** One request of a connection, as far as it matters for who sent it. */
export interface AuthRequest {
  /** The Authorization header as received. */
  readonly authorization: string | undefined;
  /** Came through a hop that is not trusted (Via, X-Forwarded-For): nothing is remembered of it. */
  readonly isProxied: boolean;
  /** Monotonic ms. */
  readonly now: number;
}

/** Finds out who sends the requests of one connection. Made by `Authenticator.connect`, one per socket. */
export class ConnectionAuth {
  readonly #sessions: ReadonlyMap<string, { readonly challenge: string; readonly session: SchemeSession }>;

  constructor(schemes: readonly AuthScheme[], connection: ConnectionFacts) {
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
    if (request.authorization === undefined || this.#sessions.size === 0) return { type: "anonymous" };
    const authorization = parseAuthorization(request.authorization);
    if (authorization === undefined) return { type: "refused", reason: "malformed" };
    const entry = this.#sessions.get(authorization.scheme);
    if (entry === undefined) return { type: "refused", reason: "scheme not offered" };
    const { outcome } = await entry.session.step(authorization.token, request.now);
    if (outcome.type === "user" && outcome.identity.name === "") {
      // Rights and logs go by the name: a back end that names nobody has not answered.
      throw new AppError("ERR_AUTH_UNAVAILABLE", "the logon back end accepted a credential and named nobody");
    }
    return outcome;
  }
}
