import type { Identity } from "./identity.js";

/*
 * Back ends that know accounts. Those that need sockets or processes live in the origin. Each throws
 * AppError ERR_AUTH_UNAVAILABLE when it gets no answer: that is no wrong password.
 */

/** A name as clients write it, taken apart: `DOMAIN\user`, `user@domain`, `user`. */
export interface LogonName {
  readonly account: string;
  /** Empty when none was given. */
  readonly domain: string;
}

export interface PasswordJudge {
  /**
   * undefined = wrong password or no such account; both take the same time.
   * @throws {AppError} ERR_AUTH_UNAVAILABLE; ERR_RATE_LIMITED when too many checks wait
   */
  check(name: LogonName, password: string): Promise<Identity | undefined>;
}

/** A client's answer to an NTLM challenge. */
export interface NtlmResponse {
  /** As sent: the domain is part of what the proof covers. */
  readonly name: LogonName;
  /** 8 bytes. */
  readonly serverChallenge: Uint8Array;
  /** NTLMv2: proof of 16 bytes, then what it covers ([MS-NLMP] 2.2.2.8). */
  readonly ntResponse: Uint8Array;
}

export interface NtlmJudge {
  /**
   * undefined = wrong password or no such account; both take the same time.
   * @throws {AppError} ERR_AUTH_UNAVAILABLE; ERR_RATE_LIMITED when too many checks wait
   */
  judge(
    response: NtlmResponse,
  ): Promise<{ readonly identity: Identity; readonly sessionBaseKey: Uint8Array } | undefined>;
}

export interface KerberosJudge {
  /**
   * @param token all that came with `Negotiate`: SPNEGO around Kerberos
   * @returns undefined when the ticket is not accepted; `reply` is the token of the answer
   * @throws {AppError} ERR_AUTH_UNAVAILABLE; ERR_RATE_LIMITED when too many checks wait
   */
  accept(
    token: Uint8Array,
  ): Promise<{ readonly identity: Identity; readonly reply?: Uint8Array } | undefined>;
}

/** A directory (LDAP). Each call throws {AppError} ERR_AUTH_UNAVAILABLE when it does not answer. */
export interface Directory {
  /** `MEDV\Branch Admins`; nested groups included. */
  groupsOf(identity: Identity): Promise<readonly string[]>;
  findByUpn(upn: string): Promise<Identity | undefined>;
  findByAltSecurityIdentities(values: readonly string[]): Promise<Identity | undefined>;
}
