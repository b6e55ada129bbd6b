import type { Random } from "@ckmesh/core";

/** Exponential back-off with jitter: `base` doubled per failure up to `max`, then ± half of it by chance. */
export class Backoff {
  readonly #base: number;
  readonly #max: number;
  readonly #random: Random;
  #failures = 0;

  constructor(baseMs: number, maxMs: number, random: Random) {
    this.#base = baseMs;
    this.#max = maxMs;
    this.#random = random;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Counts a failure; returns the ms to wait before the next try. */
  fail(): number {
    const ms = Math.min(this.#max, this.#base * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return ms * (0.5 + this.#random.next());
  }

  succeed(): void {
    this.#failures = 0;
  }
}
