import { timingSafeEqual } from "node:crypto";
import type { KerberosJudge } from "../judges.js";
import type { NtlmAcceptor } from "../ntlm/ntlm-acceptor.js";
import { NtlmExchange, type NtlmStep } from "../ntlm/ntlm-exchange.js";
import { isNtlmMessage } from "../ntlm/ntlm-messages.js";
import { signFirst } from "../ntlm/ntlm-signature.js";
import type { AuthScheme, ConnectionFacts, RefusalReason, SchemeSession, SchemeStep } from "../scheme.js";
import { decodeToken, encodeToken } from "../token68.js";
import {
  encodeNegTokenResp,
  NEG_STATE,
  type NegTokenInit,
  type NegTokenResp,
  parseSpnego,
} from "./spnego.js";

export interface NegotiateSchemeOptions {
  /** Absent without a keytab, or where only NTLM is offered. */
  readonly kerberos?: KerberosJudge;
  /** Absent for IIS's provider `Negotiate:Kerberos`. */
  readonly ntlm?: NtlmAcceptor;
  /**
   * `extendedProtection` of Kerberos. GSSAPI as the origin uses it tells nothing of channel bindings, so
   * with `Require` a ticket over TLS cannot show what is demanded and is not taken. Without TLS the ticket
   * itself names the service: it opens with the keytab's key only.
   */
  readonly requireChannelBinding: boolean;
}

/** `WWW-Authenticate: Negotiate` (RFC 4559): SPNEGO around Kerberos or NTLM, or either of them bare. */
export function negotiateScheme(options: NegotiateSchemeOptions): AuthScheme {
  return {
    name: "negotiate",
    challenge: () => "Negotiate",
    open: (connection) => new NegotiateSession(options, connection),
  };
}

/**
 * The Negotiate handshakes of one connection. Kerberos takes one step. NTLM within SPNEGO: from the
 * client's list (`#mechanismList` is set) to the NTLM answer, which may come with a signature of that list.
 */
class NegotiateSession implements SchemeSession {
  readonly #kerberos: KerberosJudge | undefined;
  readonly #exchange: NtlmExchange | undefined;
  /** The list of mechanisms of a handshake under way. */
  #mechanismList: Uint8Array | undefined;

  constructor(options: NegotiateSchemeOptions, connection: ConnectionFacts) {
    const isUsable = !(options.requireChannelBinding && connection.isTls);
    this.#kerberos = isUsable ? options.kerberos : undefined;
    this.#exchange = options.ntlm === undefined ? undefined : new NtlmExchange(options.ntlm, connection);
  }

  async step(token: string, now: number): Promise<SchemeStep> {
    const bytes = decodeToken(token);
    const mechanismList = this.#mechanismList;
    this.#mechanismList = undefined;
    if (bytes === undefined) return this.#refuse("malformed");
    if (isNtlmMessage(bytes)) {
      // A bare message does not go on with a handshake that began within SPNEGO.
      if (mechanismList !== undefined) this.#exchange?.forget();
      return this.#bareNtlm(bytes, now);
    }
    const parsed = parseSpnego(bytes);
    switch (parsed?.type) {
      case undefined:
        return this.#refuse("malformed");
      case "kerberos":
        return this.#acceptTicket(bytes);
      case "init":
        return this.#begin(parsed, bytes, now);
      case "resp":
        return this.#goOn(parsed, mechanismList, now);
    }
  }

  async #bareNtlm(message: Uint8Array, now: number): Promise<SchemeStep> {
    if (this.#exchange === undefined) return this.#refuse("no common mechanism");
    const step = await this.#exchange.step(message, now);
    if (step.type === "challenge") {
      return ntlmStep({ type: "continue", challenge: `Negotiate ${encodeToken(step.message)}` });
    }
    return step.type === "refused"
      ? ntlmStep(step)
      : ntlmStep({ type: "user", identity: step.identity, scheme: "negotiate" });
  }

  async #begin(init: NegTokenInit, token: Uint8Array, now: number): Promise<SchemeStep> {
    const [first] = init.mechanisms;
    this.#exchange?.forget();
    if (first === "kerberos" || first === "microsoftKerberos") {
      if (this.#kerberos !== undefined) return this.#acceptTicket(token);
    }
    if (this.#exchange === undefined || !init.mechanisms.includes("ntlm")) {
      return this.#refuse("no common mechanism");
    }
    if (first !== "ntlm" || init.mechToken === undefined) {
      // The token, if any, is another mechanism's: the client sends its Type 1 next.
      this.#mechanismList = init.mechanismList.slice();
      return goOnWith({});
    }
    return this.#ntlm(await this.#exchange.step(init.mechToken, now), init.mechanismList, undefined);
  }

  async #goOn(resp: NegTokenResp, mechanismList: Uint8Array | undefined, now: number): Promise<SchemeStep> {
    if (mechanismList === undefined || this.#exchange === undefined || resp.responseToken === undefined) {
      return this.#refuse("no challenge pending");
    }
    const step = await this.#exchange.step(resp.responseToken, now);
    return this.#ntlm(step, mechanismList, resp.mechListMic);
  }

  #ntlm(step: NtlmStep, mechanismList: Uint8Array, mechListMic: Uint8Array | undefined): SchemeStep {
    if (step.type === "refused") return this.#refuse(step.reason, step.user);
    if (step.type === "challenge") {
      this.#mechanismList = mechanismList.slice();
      return goOnWith({ responseToken: step.message });
    }
    const done = { negState: NEG_STATE.acceptCompleted };
    if (mechListMic === undefined) return ntlmUser(step, encodeNegTokenResp(done));
    const expected = signFirst(step.session, "client", mechanismList);
    const answer = signFirst(step.session, "server", mechanismList);
    if (expected === undefined || answer === undefined) return this.#refuse("MIC wrong", step.identity.name);
    const isRight = expected.byteLength === mechListMic.byteLength && timingSafeEqual(expected, mechListMic);
    return isRight
      ? ntlmUser(step, encodeNegTokenResp({ ...done, mechListMic: answer }))
      : this.#refuse("MIC wrong", step.identity.name);
  }

  async #acceptTicket(token: Uint8Array): Promise<SchemeStep> {
    if (this.#kerberos === undefined) return this.#refuse("no common mechanism");
    const accepted = await this.#kerberos.accept(token);
    if (accepted === undefined) return this.#refuse("Kerberos refused");
    const { identity, reply } = accepted;
    const user = { type: "user", identity, scheme: "negotiate" } as const;
    const outcome = reply === undefined ? user : { ...user, reply: `Negotiate ${encodeToken(reply)}` };
    return { outcome, persistence: "non-ntlm" };
  }

  /** Ends a handshake under way, too. */
  #refuse(reason: RefusalReason, user?: string): SchemeStep {
    this.#exchange?.forget();
    return ntlmStep(user === undefined ? { type: "refused", reason } : { type: "refused", reason, user });
  }
}

function goOnWith(token: Partial<NegTokenResp>): SchemeStep {
  const resp = encodeNegTokenResp({ negState: NEG_STATE.acceptIncomplete, mechanism: "ntlm", ...token });
  return ntlmStep({ type: "continue", challenge: `Negotiate ${encodeToken(resp)}` });
}

function ntlmUser({ identity }: Extract<NtlmStep, { type: "accepted" }>, reply: Uint8Array): SchemeStep {
  return ntlmStep({
    type: "user",
    identity,
    scheme: "negotiate",
    reply: `Negotiate ${encodeToken(reply)}`,
  });
}

function ntlmStep(outcome: SchemeStep["outcome"]): SchemeStep {
  return { outcome, persistence: "connection" };
}
