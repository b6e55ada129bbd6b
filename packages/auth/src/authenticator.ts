import { parseAuthorization } from "./authorization-header.js";
import { basicChallenge } from "./basic-credentials.js";
import type { BasicVerifier } from "./basic-verifier.js";

/** What a server knows of a request when it asks who sent it. */
export interface AuthRequest {
  /** The Authorization header as received. */
  readonly authorization: string | undefined;
  readonly isTls: boolean;
  /** Address of the client. */
  readonly address: string;
  /** Monotonic ms. */
  readonly now: number;
}

export type AuthOutcome =
  /** No credential that this connection may use was given. */
  | { readonly type: "anonymous" }
  | { readonly type: "user"; readonly user: string; readonly scheme: string }
  /** A credential was given and is not right: 401 with every challenge. */
  | { readonly type: "refused"; readonly reason: string; readonly user?: string };

/**
 * One way to prove who one is. Basic needs one step; schemes with legs (NTLM, Negotiate) keep their state
 * by connection and will add a `continue` outcome.
 */
export interface AuthScheme {
  /** As in headers, lower case. */
  readonly name: string;
  /** The line of `WWW-Authenticate`; undefined where the scheme is not offered. */
  challenge(connection: { readonly isTls: boolean }): string | undefined;
  /** @throws {AppError} ERR_RATE_LIMITED */
  verify(token: string, request: AuthRequest): Promise<AuthOutcome>;
}

export interface BasicSchemeOptions {
  readonly verifier: BasicVerifier;
  readonly realm: string;
  /** Offers Basic without TLS, where everyone on the way reads the password. */
  readonly allowOverHttp: boolean;
}

export function basicScheme(options: BasicSchemeOptions): AuthScheme {
  return {
    name: "basic",
    challenge: ({ isTls }) => (isTls || options.allowOverHttp ? basicChallenge(options.realm) : undefined),
    async verify(token, request) {
      const verdict = await options.verifier.verify(token, request.address, request.now);
      return verdict.type === "accepted" ? { type: "user", user: verdict.user, scheme: "basic" } : verdict;
    },
  };
}

/** Finds out who sent a request, by the schemes that are offered on its connection. */
export class Authenticator {
  readonly #schemes: readonly AuthScheme[];

  /** @param schemes in the order in which they are offered */
  constructor(schemes: readonly AuthScheme[]) {
    this.#schemes = schemes;
  }

  /** One `WWW-Authenticate` line per offered scheme; none where no scheme may be used. */
  challenges(connection: { readonly isTls: boolean }): readonly string[] {
    return this.#schemes.flatMap((scheme) => scheme.challenge(connection) ?? []);
  }

  /** @throws {AppError} ERR_RATE_LIMITED */
  async authenticate(request: AuthRequest): Promise<AuthOutcome> {
    if (request.authorization === undefined) return { type: "anonymous" };
    const offered = this.#schemes.filter((scheme) => scheme.challenge(request) !== undefined);
    if (offered.length === 0) return { type: "anonymous" };
    const authorization = parseAuthorization(request.authorization);
    if (authorization === undefined) return { type: "refused", reason: "malformed" };
    const scheme = offered.find((s) => s.name === authorization.scheme);
    return scheme === undefined
      ? { type: "refused", reason: "scheme not offered" }
      : scheme.verify(authorization.token, request);
  }
}
