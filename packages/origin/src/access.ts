import { type Authenticator, isGranted, type Principal, type Right, type Rights } from "@ckmesh/auth";
import type { Clock } from "@ckmesh/core";
import { RequestError, SUB_STATUS } from "./http-failure.js";

export interface AccessOptions {
  readonly authenticator: Authenticator;
  readonly rights: Rights;
  readonly anonymousEnabled: boolean;
  readonly clock: Clock;
}

export interface Credentials {
  readonly authorization: string | undefined;
  readonly isTls: boolean;
  readonly address: string;
}

/** Who sends a request and whether they may: 401, 403 and their headers are decided here. */
export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /**
   * @throws {RequestError} ERR_AUTH_REQUIRED with every challenge when a credential is wrong, or missing
   *   where anonymous reading is off; ERR_AUTH_FORBIDDEN where no credential can be given without TLS
   * @throws {AppError} ERR_RATE_LIMITED, ERR_AUTH_UNAVAILABLE
   */
  async identify(credentials: Credentials): Promise<Principal> {
    const { authenticator, anonymousEnabled, clock } = this.#options;
    const { authorization, isTls, address } = credentials;
    const outcome = await authenticator
      .connect({ isTls, address })
      .authenticate({ authorization, isProxied: false, now: clock.now() });
    if (outcome.type === "user") return { user: outcome.identity.name, anonymousEnabled };
    if (outcome.type === "anonymous" && anonymousEnabled) return { user: undefined, anonymousEnabled };
    throw this.#unauthorized(
      credentials.isTls,
      outcome.type === "anonymous" ? SUB_STATUS.logonNeeded : SUB_STATUS.logonFailed,
    );
  }

  /** @throws {RequestError} ERR_AUTH_FORBIDDEN, for nobody known ERR_AUTH_REQUIRED */
  require(right: Right, principal: Principal, isTls: boolean): void {
    if (this.isGranted(right, principal)) return;
    if (principal.user === undefined) throw this.#unauthorized(isTls, SUB_STATUS.logonNeeded);
    throw new RequestError("ERR_AUTH_FORBIDDEN", `${principal.user} does not have the right to ${right}`, {
      subStatus: SUB_STATUS.readForbidden,
    });
  }

  isGranted(right: Right, principal: Principal): boolean {
    return isGranted(this.#options.rights, right, principal);
  }

  #unauthorized(isTls: boolean, subStatus: number): RequestError {
    const challenges = this.#options.authenticator.connect({ isTls, address: "" }).challenges();
    if (challenges.length === 0) {
      // A 401 must say how to authenticate (RFC 9110 §15.5.2); here there is no way.
      return new RequestError(
        "ERR_AUTH_FORBIDDEN",
        isTls ? "no way to authenticate is switched on" : "credentials are taken over TLS only: use https",
        { subStatus: SUB_STATUS.tlsRequired },
      );
    }
    return new RequestError(
      "ERR_AUTH_REQUIRED",
      "authentication is required, or the credentials are not right",
      {
        subStatus,
        headers: { "WWW-Authenticate": challenges },
      },
    );
  }
}
