import type { Clock } from "@ckmesh/core";

/** Time constant of the mean. */
const WINDOW_MS = 3000;

/** Mean rate of the last few seconds. */
export class RateMeter {
  readonly #clock: Clock;
  #rate = 0;
  #at: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#at = clock.now();
  }

  add(bytes: number): void {
    this.#decay();
    this.#rate += (bytes * 1000) / WINDOW_MS;
  }

  /** Bytes per second. */
  get rate(): number {
    this.#decay();
    return Math.round(this.#rate);
  }

  #decay(): void {
    const now = this.#clock.now();
    this.#rate *= Math.exp((this.#at - now) / WINDOW_MS);
    this.#at = now;
  }
}
