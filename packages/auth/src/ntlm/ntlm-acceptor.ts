import { timingSafeEqual } from "node:crypto";
import { AppError } from "@ckmesh/core";
import type { Identity } from "../identity.js";
import type { NtlmJudge } from "../judges.js";
import type { Lockout } from "../lockout.js";
import { parseLogonName } from "../logon-name.js";
import type { ConnectionFacts, RefusalReason } from "../scheme.js";
import { AV, AV_FLAG_MIC, type AvPairs, encodeAvPairs } from "./av-pairs.js";
import { type ExtendedProtection, protectionFault } from "./extended-protection.js";
import { combineFlags, hasFlag, NTLM_FLAG } from "./ntlm-flags.js";
import {
  type AuthenticateMessage,
  encodeChallenge,
  MIC_END,
  MIC_OFFSET,
  parseAuthenticate,
  parseNegotiate,
} from "./ntlm-messages.js";
import type { NtlmSession } from "./ntlm-signature.js";
import { utf16 } from "./ntlm-text.js";
import {
  exportedSessionKey,
  fileTime,
  messageIntegrityCode,
  parseV2Response,
  V1_RESPONSE_BYTES,
  type V2Response,
} from "./ntlm-v2.js";

/** What the server calls itself in its challenge; clients show it, and put it under their proof. */
export interface NtlmServerNames {
  readonly netbiosHost: string;
  /** Absent where the server belongs to no domain. */
  readonly netbiosDomain?: string;
  readonly dnsHost: string;
  readonly dnsDomain?: string;
}

export interface NtlmAcceptorOptions {
  readonly judge: NtlmJudge;
  /** Shared with Basic. */
  readonly lockout: Lockout;
  readonly names: NtlmServerNames;
  /** Refuses clients that send no message integrity code: curl's own NTLM, for one. */
  readonly requireMic: boolean;
  readonly extendedProtection: ExtendedProtection;
  readonly randomBytes: (count: number) => Uint8Array;
  /** ms since 1970. */
  readonly wall: () => number;
}

/** A challenge that waits for its answer; good for one. */
export interface PendingChallenge {
  readonly negotiate: Uint8Array;
  readonly challenge: Uint8Array;
  readonly serverChallenge: Uint8Array;
  /** Monotonic ms. */
  readonly at: number;
}

export type NtlmVerdict =
  | { readonly type: "accepted"; readonly identity: Identity; readonly session: NtlmSession }
  | { readonly type: "refused"; readonly reason: RefusalReason; readonly user?: string };

/** How long a challenge waits for its answer. */
const CHALLENGE_LIFETIME_MS = 60_000;
const SESSION_KEY_BYTES = 16;
/** What is granted when the client asks for it. */
const GRANTED = combineFlags(
  NTLM_FLAG.sign,
  NTLM_FLAG.seal,
  NTLM_FLAG.alwaysSign,
  NTLM_FLAG.extendedSession,
  NTLM_FLAG.version,
  NTLM_FLAG.key128,
  NTLM_FLAG.keyExchange,
  NTLM_FLAG.key56,
);

/** The server's side of an NTLM handshake, NTLMv2 only; keeps nothing itself. */
export class NtlmAcceptor {
  readonly #options: NtlmAcceptorOptions;

  constructor(options: NtlmAcceptorOptions) {
    this.#options = options;
  }

  /** Where a channel binding is demanded, mechanisms that cannot show one are of no use. */
  get tokenChecking(): ExtendedProtection["tokenChecking"] {
    return this.#options.extendedProtection.tokenChecking;
  }

  /** Answers a Type 1; undefined when it is none. */
  challenge(negotiate: Uint8Array, now: number): PendingChallenge | undefined {
    const asked = parseNegotiate(negotiate);
    if (asked === undefined) return undefined;
    const { names, randomBytes, wall } = this.#options;
    const serverChallenge = randomBytes(8);
    // curl asks for OEM text alone; who asks for both gets Unicode.
    const charset = hasFlag(asked.flags, "unicode") ? NTLM_FLAG.unicode : NTLM_FLAG.oem;
    const target = names.netbiosDomain === undefined ? NTLM_FLAG.targetIsServer : NTLM_FLAG.targetIsDomain;
    const flags = combineFlags(
      charset,
      target,
      NTLM_FLAG.requestTarget,
      NTLM_FLAG.ntlm,
      NTLM_FLAG.targetInfo,
      asked.flags & GRANTED,
    );
    const challenge = encodeChallenge({
      flags,
      challenge: serverChallenge,
      targetName: names.netbiosDomain ?? names.netbiosHost,
      targetInfo: encodeAvPairs(targetInfo(names, wall())),
    });
    return { negotiate: negotiate.slice(), challenge, serverChallenge, at: now };
  }

  /**
   * Judges a Type 3.
   * @param now monotonic ms
   * @throws {AppError} ERR_AUTH_UNAVAILABLE
   */
  async accept(
    pending: PendingChallenge,
    message: Uint8Array,
    connection: ConnectionFacts,
    now: number,
  ): Promise<NtlmVerdict> {
    if (now - pending.at >= CHALLENGE_LIFETIME_MS) return refuse("challenge expired");
    const answer = parseAuthenticate(message);
    if (answer === undefined) return refuse("malformed");
    if (answer.user === "" || hasFlag(answer.flags, "anonymous")) return refuse("anonymous logon");
    const { account } = parseLogonName(answer.user.normalize("NFC"));
    if (account === "") return refuse("malformed");
    if (answer.ntResponse.byteLength === V1_RESPONSE_BYTES) return refuse("NTLMv1", account);
    const response = parseV2Response(answer.ntResponse);
    if (response === undefined) return refuse("malformed", account);
    return this.#judge(pending, message, { answer, response, account }, connection, now);
  }

  async #judge(
    pending: PendingChallenge,
    message: Uint8Array,
    { answer, response, account }: Answer,
    connection: ConnectionFacts,
    now: number,
  ): Promise<NtlmVerdict> {
    const { judge, lockout, extendedProtection } = this.#options;
    // The lock comes first: while it holds, not even a right password is told from a wrong one.
    const isLocked = () => lockout.isLocked(account, connection.address, now);
    if (isLocked()) return refuse("locked", account);
    const verdict = await judge.judge({
      name: { account: answer.user, domain: answer.domain },
      serverChallenge: pending.serverChallenge,
      ntResponse: answer.ntResponse,
    });
    if (verdict === undefined) {
      lockout.failed(account, connection.address, now);
      return refuse("wrong password", account);
    }
    // And again: guesses that were sent all at once are no more of them than one by one.
    if (isLocked()) return refuse("locked", account);
    const { identity, sessionBaseKey } = verdict;
    if (sessionBaseKey.byteLength !== SESSION_KEY_BYTES) {
      throw new AppError("ERR_AUTH_UNAVAILABLE", "the logon back end gave no session key of 16 bytes");
    }
    // From here on the password was right: what is wrong now is no guess, and counts for no lock.
    const fault = protectionFault(extendedProtection, response.pairs, connection);
    if (fault !== undefined) return refuse(fault, identity.name);
    const hasKey = hasFlag(answer.flags, "keyExchange") && answer.sessionKey.byteLength === SESSION_KEY_BYTES;
    const sessionKey = exportedSessionKey(sessionBaseKey, hasKey ? answer.sessionKey : undefined);
    const micFault = this.#micFault(pending, message, { answer, response, account }, sessionKey);
    if (micFault !== undefined) return refuse(micFault, identity.name);
    lockout.succeeded(account, connection.address);
    return { type: "accepted", identity, session: { sessionKey, flags: answer.flags } };
  }

  #micFault(
    pending: PendingChallenge,
    message: Uint8Array,
    { answer, response }: Answer,
    sessionKey: Uint8Array,
  ): RefusalReason | undefined {
    // The flag lies under the proof: nobody on the way can take the code out.
    if (((response.pairs.get(AV.flags)?.[0] ?? 0) & AV_FLAG_MIC) === 0) {
      return this.#options.requireMic ? "MIC missing" : undefined;
    }
    if (answer.payloadOffset < MIC_END) return "MIC wrong";
    const expected = messageIntegrityCode(sessionKey, pending.negotiate, pending.challenge, message);
    return timingSafeEqual(expected, message.subarray(MIC_OFFSET, MIC_END)) ? undefined : "MIC wrong";
  }
}

interface Answer {
  readonly answer: AuthenticateMessage;
  readonly response: V2Response;
  /** Without domain: what locks go by. */
  readonly account: string;
}

/** [MS-NLMP] 2.2.2.1; with a timestamp, clients add a MIC. */
function targetInfo(names: NtlmServerNames, wallMs: number): AvPairs {
  const pairs = new Map([
    [AV.netbiosDomain, utf16(names.netbiosDomain ?? names.netbiosHost)],
    [AV.netbiosHost, utf16(names.netbiosHost)],
    [AV.dnsDomain, utf16(names.dnsDomain ?? names.dnsHost)],
    [AV.dnsHost, utf16(names.dnsHost)],
  ] as readonly (readonly [number, Uint8Array])[]);
  return pairs.set(AV.timestamp, fileTime(wallMs));
}

function refuse(reason: RefusalReason, user?: string): NtlmVerdict {
  return user === undefined ? { type: "refused", reason } : { type: "refused", reason, user };
}
