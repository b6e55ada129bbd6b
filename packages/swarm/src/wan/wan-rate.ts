import { RATE_MS, SPAN_BYTES } from "../constants.js";

/** A shorter measure says little about a link that others share. */
const MIN_MS = 1000;
/** Older bytes count half as much. */
const HALF_MS = 4000;

/** The rate of this machine's own fetches while they run: what it tells others, so that they can judge its claims. */
export class WanRate {
  #bytes = 0;
  #ms = 0;
  #lastAt = 0;

  /**
   * A fetch begins: the time until its first byte counts.
   * @param isPaced it had to wait: that time counts too
   */
  begin(now: number, isPaced = false): void {
    if (now - this.#lastAt > RATE_MS) {
      this.#bytes = 0;
      this.#ms = 0;
    } else if (isPaced && this.#ms > 0) return;
    this.#lastAt = now;
  }

  add(bytes: number, now: number): void {
    this.#bytes += bytes;
    this.#ms += now - this.#lastAt;
    this.#lastAt = now;
    if (this.#ms < HALF_MS) return;
    this.#bytes /= 2;
    this.#ms /= 2;
  }

  /** Bytes per second; 0 while unknown. */
  value(now: number): number {
    return this.#ms < MIN_MS ? 0 : this.#current(now);
  }

  /** As `value`, but known from the first span on: enough to say how soon the next claim is needed. */
  early(now: number): number {
    return this.#ms < MIN_MS && this.#bytes < SPAN_BYTES ? 0 : this.#current(now);
  }

  #current(now: number): number {
    if (this.#ms === 0 || now - this.#lastAt > RATE_MS) return 0;
    return Math.round((this.#bytes * 1000) / this.#ms);
  }
}
