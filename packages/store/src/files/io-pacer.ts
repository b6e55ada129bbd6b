import { BytePace, type Clock, wait } from "@ckmesh/core";

/** Holds what is read and written in the background to one rate, whoever does it. */
export class IoPacer {
  readonly #pace: BytePace;
  readonly #clock: Clock;

  constructor(bytesPerSec: number, clock: Clock) {
    this.#pace = new BytePace(bytesPerSec, clock.now());
    this.#clock = clock;
  }

  /**
   * Resolves when so many bytes may be read or written, and at once when the work is stopped: whoever asks looks at
   * `signal` next. Who came first goes first.
   */
  async admit(bytes: number, signal?: AbortSignal): Promise<void> {
    for (;;) {
      if (signal?.aborted === true) return;
      const left = this.#pace.msLeft(this.#clock.now());
      if (left === 0) break;
      // Nothing is reserved: what is stopped while it waits costs the others nothing.
      await wait(this.#clock, left, signal).catch(() => {}); // stopped
    }
    this.#pace.take(bytes, this.#clock.now());
  }
}
