import type { ConnectionFacts, RefusalReason } from "../scheme.js";
import type { NtlmAcceptor, NtlmVerdict, PendingChallenge } from "./ntlm-acceptor.js";
import { ntlmMessageType } from "./ntlm-messages.js";

export type NtlmStep = NtlmVerdict | { readonly type: "challenge"; readonly message: Uint8Array };

/**
 * The NTLM handshakes of one connection, one after the other. States: idle, and pending from a Type 1 to
 * the next message of any kind. A Type 3 takes the challenge out before it is judged, so that it counts once.
 */
export class NtlmExchange {
  readonly #acceptor: NtlmAcceptor;
  readonly #connection: ConnectionFacts;
  #pending: PendingChallenge | undefined;

  constructor(acceptor: NtlmAcceptor, connection: ConnectionFacts) {
    this.#acceptor = acceptor;
    this.#connection = connection;
  }

  /**
   * @param now monotonic ms
   * @throws {AppError} ERR_AUTH_UNAVAILABLE
   */
  async step(message: Uint8Array, now: number): Promise<NtlmStep> {
    const pending = this.#pending;
    this.#pending = undefined;
    const type = ntlmMessageType(message);
    if (type === 1) this.#pending = this.#acceptor.challenge(message, now);
    if (this.#pending !== undefined) return { type: "challenge", message: this.#pending.challenge };
    if (type !== 3) return refuse("malformed");
    return pending === undefined
      ? refuse("no challenge pending")
      : this.#acceptor.accept(pending, message, this.#connection, now);
  }

  forget(): void {
    this.#pending = undefined;
  }
}

function refuse(reason: RefusalReason): NtlmStep {
  return { type: "refused", reason };
}
