import { AppError, type Logger } from "@ckmesh/core";
import type { PeerMessage } from "@ckmesh/wire";
import { MAX_BACKLOG } from "./link-limits.js";
import type { PeerLinkHandler } from "./peer-link.js";

export interface LinkDeliveryOptions {
  readonly logger: Logger;
  /** Empty until it is proven. */
  readonly peerId: () => string;
  /** The handler threw: the link cannot go on. */
  readonly failed: (err: AppError) => void;
}

/**
 * What a link tells its handler, in order. States: waiting (messages gather) → started → ended (the handler hears
 * of the end, then nothing more). A handler that throws is our bug: the link goes, the process stays.
 */
export class LinkDelivery {
  readonly #options: LinkDeliveryOptions;
  #handler: PeerLinkHandler | undefined;
  #backlog: PeerMessage[] = [];
  #isEnded = false;
  /** The handler has still to hear of it. */
  #ending: { readonly err: Error | undefined } | undefined;

  constructor(options: LinkDeliveryOptions) {
    this.#options = options;
  }

  /** Messages that came before are delivered now. */
  start(handler: PeerLinkHandler): void {
    if (this.#handler !== undefined) throw new Error("unreachable: link started twice");
    this.#handler = handler;
    queueMicrotask(() => {
      const backlog = this.#backlog;
      this.#backlog = [];
      for (const message of backlog) this.#tell((h) => h.message(message));
      this.#tellEnd();
    });
  }

  /** @throws {AppError} ERR_WIRE_MESSAGE_INVALID when too much waits for the handler */
  deliver(message: PeerMessage): void {
    if (this.#handler !== undefined && this.#backlog.length === 0) {
      this.#tell((handler) => handler.message(message));
      return;
    }
    if (this.#backlog.length === MAX_BACKLOG)
      throw new AppError("ERR_WIRE_MESSAGE_INVALID", "peer sent too much before the link was up");
    this.#backlog.push(message);
  }

  drained(): void {
    this.#tell((handler) => handler.drained());
  }

  /** Once. What was not delivered is dropped. @param err undefined: either side hung up in peace */
  end(err: Error | undefined): void {
    this.#isEnded = true;
    this.#backlog = [];
    this.#ending = { err };
    if (this.#handler !== undefined) queueMicrotask(() => this.#tellEnd());
  }

  #tell(run: (handler: PeerLinkHandler) => void): void {
    if (this.#handler === undefined || this.#isEnded) return;
    try {
      run(this.#handler);
    } catch (err) {
      this.#logFailure(err);
      this.#options.failed(new AppError("ERR_INTERNAL", "the handler of a peer link failed", { cause: err }));
    }
  }

  #tellEnd(): void {
    const ending = this.#ending;
    if (ending === undefined || this.#handler === undefined) return;
    this.#ending = undefined;
    try {
      this.#handler.closed(ending.err);
    } catch (err) {
      this.#logFailure(err);
    }
  }

  #logFailure(err: unknown): void {
    this.#options.logger.error({ err, peer: this.#options.peerId() }, "peer link handler failed");
  }
}
