import type { AuthScheme } from "../scheme.js";
import { basicChallenge } from "./basic-credentials.js";
import type { BasicVerifier } from "./basic-verifier.js";

export interface BasicSchemeOptions {
  readonly verifier: BasicVerifier;
  readonly realm: string;
  /** Offers Basic without TLS, where everyone on the way reads the password. */
  readonly allowOverHttp: boolean;
}

/** Basic proves each request by itself: nothing of it is kept with the connection. */
export function basicScheme(options: BasicSchemeOptions): AuthScheme {
  return {
    name: "basic",
    challenge: ({ isTls }) => (isTls || options.allowOverHttp ? basicChallenge(options.realm) : undefined),
    open: ({ address }) => ({
      async step(token, now) {
        const verdict = await options.verifier.verify(token, address, now);
        const outcome =
          verdict.type === "accepted"
            ? ({ type: "user", identity: verdict.identity, scheme: "basic" } as const)
            : verdict;
        return { outcome, persistence: "request" };
      },
    }),
  };
}
