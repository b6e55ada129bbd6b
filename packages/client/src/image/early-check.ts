import type { Logger } from "@ckmesh/core";
import { HintGate } from "@ckmesh/swarm";
import type { ClientContext } from "../client-context.js";

/** When the origin's files turn out to be others, its head is looked at after this, up to twice as long. */
const STALE_CHECK_MS = 2000;

export interface EarlyCheckOptions {
  readonly context: Pick<ClientContext, "clock" | "random">;
  readonly logger: Logger;
  /** Looks at the origin for the image. */
  readonly check: () => Promise<void>;
}

/** Checks of one image before the next one is due: several reasons at once lead to one. */
export class EarlyCheck {
  readonly #options: EarlyCheckOptions;
  readonly #hints: HintGate;
  #cancel: (() => void) | undefined;
  #isStopped = false;

  constructor(options: EarlyCheckOptions) {
    this.#options = options;
    this.#hints = new HintGate(options.context.random);
  }

  /** Something at the origin is not as it was; several fetches may say so at once. */
  stale(): void {
    this.#checkIn(STALE_CHECK_MS * (1 + this.#options.context.random.next()));
  }

  /** A peer speaks of a newer version. @param known the newest that the origin was seen to have */
  heard(peerId: string, version: number, known: number): void {
    const ms = this.#hints.heard(peerId, version, known, this.#options.context.clock.now());
    if (ms === undefined) return;
    this.#options.logger.info({ version }, "a peer speaks of a newer version: the origin is asked");
    this.#checkIn(ms);
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  #checkIn(ms: number): void {
    if (this.#isStopped) return;
    const { context, check, logger } = this.#options;
    this.#cancel ??= context.clock.after(ms, () => {
      this.#cancel = undefined;
      check().catch((err: unknown) => {
        logger.warn({ err }, "image not checked");
      });
    });
  }
}
