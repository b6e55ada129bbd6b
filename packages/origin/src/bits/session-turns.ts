import { BitsFault } from "@ckmesh/bits";
import type { Clock } from "@ckmesh/core";

/** The right to change a session, held by one packet at a time. */
export interface Turn {
  /** Aborted when another packet waits and nothing more is to be expected of this one. */
  readonly cutOff: AbortSignal;
  leave(): void;
}

/** Packets of one session that wait; a client sends one at a time. */
const MAX_WAITING = 8;
const RETRY_SECONDS = 5;
/** Between two looks at a packet that may not be interrupted yet, or whose cut has not shown. */
const LOOK_MS = 1000;

/**
 * Lets the packets of one session in, one by one. A client whose connection broke comes back before that is noticed
 * here: it does not wait for the time-out of a connection that brings nothing any more.
 */
export class SessionTurns {
  readonly #clock: Clock;
  readonly #interruptibleAt: () => number | undefined;
  readonly #waiting: (() => void)[] = [];
  #holder: AbortController | undefined;

  /** @param interruptibleAt monotonic ms: when the packet that runs may be cut off; undefined: not at all */
  constructor(clock: Clock, interruptibleAt: () => number | undefined) {
    this.#clock = clock;
    this.#interruptibleAt = interruptibleAt;
  }

  get isHeld(): boolean {
    return this.#holder !== undefined;
  }

  /**
   * @param isEnd nothing that comes is wanted any more: a body that is on its way is cut off at once
   * @throws {BitsFault} 503 when too many wait
   */
  async enter(isEnd = false): Promise<Turn> {
    if (isEnd) this.#holder?.abort();
    if (this.#holder !== undefined) await this.#wait();
    const holder = new AbortController();
    this.#holder = holder;
    let hasLeft = false;
    return {
      cutOff: holder.signal,
      leave: () => {
        if (hasLeft) return;
        hasLeft = true;
        const next = this.#waiting.shift();
        // With somebody waiting it stays held, so that nobody slips in before them.
        if (next === undefined) this.#holder = undefined;
        else next();
      },
    };
  }

  async #wait(): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING) {
      throw new BitsFault("ERR_ORIGIN_BUSY", "too many packets of one session at a time", {
        status: 503,
        retryAfterSeconds: RETRY_SECONDS,
      });
    }
    const looking = new AbortController();
    this.#look(looking.signal);
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
    });
    looking.abort();
  }

  /** Cuts the packet that runs as soon as that may be. */
  #look(until: AbortSignal): void {
    if (until.aborted) return;
    const leftMs = (this.#interruptibleAt() ?? Number.POSITIVE_INFINITY) - this.#clock.now();
    if (leftMs <= 0) this.#holder?.abort();
    const cancel = this.#clock.after(leftMs > 0 ? Math.min(leftMs, LOOK_MS) : LOOK_MS, () =>
      this.#look(until),
    );
    until.addEventListener("abort", cancel, { once: true });
  }
}
