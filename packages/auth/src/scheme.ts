import type { Identity, SchemeName } from "./identity.js";

/** What a server knows of a connection. */
export interface ConnectionFacts {
  readonly isTls: boolean;
  /** Address of the client. */
  readonly address: string;
  /** tls-server-end-point as NTLM carries it (AV 10, MD5 of the binding structure), 16 bytes. */
  readonly channelBinding?: Uint8Array;
}

/** Why a credential is refused: for logs and audit, never for the client. */
export type RefusalReason =
  | "malformed"
  | "scheme not offered"
  | "locked"
  | "wrong password"
  | "no challenge pending"
  | "challenge expired"
  | "anonymous logon"
  | "NTLMv1"
  | "MIC missing"
  | "MIC wrong"
  | "channel binding missing"
  | "channel binding wrong"
  | "service name missing"
  | "service name wrong"
  | "no common mechanism"
  | "Kerberos refused";

export type AuthOutcome =
  /** No credential that this connection may use was given. */
  | { readonly type: "anonymous" }
  | {
      readonly type: "user";
      readonly identity: Identity;
      readonly scheme: SchemeName;
      /** The WWW-Authenticate line that goes with the answer. */
      readonly reply?: string;
    }
  /** 401 with this WWW-Authenticate line only: the client has more to say. */
  | { readonly type: "continue"; readonly challenge: string }
  /** A credential was given and is not right: 401 with every challenge. */
  | { readonly type: "refused"; readonly reason: RefusalReason; readonly user?: string };

/** How long a proven identity may count: for one request, as long as the connection, or as a switch says. */
type Persistence = "request" | "connection" | "non-ntlm";

export interface SchemeStep {
  readonly outcome: AuthOutcome;
  readonly persistence: Persistence;
}

/** What a scheme keeps of one connection. */
export interface SchemeSession {
  /**
   * Takes the token of an Authorization header. Never called again before it has ended.
   * @param now monotonic ms
   * @throws {AppError} ERR_RATE_LIMITED, ERR_AUTH_UNAVAILABLE
   */
  step(token: string, now: number): Promise<SchemeStep>;
}

/** One way to prove who one is. */
export interface AuthScheme {
  readonly name: SchemeName;
  /** The line of `WWW-Authenticate`; undefined where the scheme is not offered. */
  challenge(connection: ConnectionFacts): string | undefined;
  open(connection: ConnectionFacts): SchemeSession;
}
