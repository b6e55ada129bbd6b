import type { Clock } from "@ckmesh/core";

const TICK_MS = 5;

/**
 * Measures how long an answer takes while this process gets to run: time for which it did not, because the
 * machine is busy, is not the network's. Ticks until it is stopped.
 */
export class AwakeStopwatch {
  readonly #clock: Clock;
  readonly #startedAt: number;
  #ticks = 0;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.now();
    this.#arm();
  }

  /** Milliseconds, to a tick; undefined when it was stopped before. */
  stop(): number | undefined {
    if (this.#cancel === undefined) return undefined;
    this.#cancel();
    this.#cancel = undefined;
    return Math.min(this.#clock.now() - this.#startedAt, (this.#ticks + 1) * TICK_MS);
  }

  #arm(): void {
    this.#cancel = this.#clock.after(TICK_MS, () => {
      this.#ticks += 1;
      this.#arm();
    });
  }
}
