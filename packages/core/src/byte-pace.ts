/** What was not used for so long is lost, ms: a pause is not made up for by a burst. */
const MAX_ARREARS_MS = 250;

/** A token bucket of bytes: evens them out to a rate. One piece larger than what it holds goes too, and is made up for. */
export class BytePace {
  readonly #bytesPerSec: number;
  /** When the next byte may go. */
  #dueAt: number;

  /** @param now ms of a monotonic clock, as everywhere here */
  constructor(bytesPerSec: number, now: number) {
    this.#bytesPerSec = bytesPerSec;
    this.#dueAt = now;
  }

  /** How long the next bytes have to wait; 0: they may go. */
  msLeft(now: number): number {
    return Math.max(0, this.#dueAt - now);
  }

  /** Bytes go now. */
  take(bytes: number, now: number): void {
    this.#dueAt = Math.max(this.#dueAt, now - MAX_ARREARS_MS) + (bytes * 1000) / this.#bytesPerSec;
  }
}
