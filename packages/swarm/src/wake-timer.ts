import type { Clock } from "@ckmesh/core";

/**
 * Wakes at a moment that changes all the time. The timer behind it is moved only when the moment comes nearer: when it
 * fires too early it is set again, which is far cheaper than with every change.
 */
export class WakeTimer {
  readonly #clock: Clock;
  readonly #wake: () => void;
  /** When to wake, and when the timer fires; monotonic ms. */
  #at = Number.POSITIVE_INFINITY;
  #firesAt = Number.POSITIVE_INFINITY;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Wakes once, at this moment or right after it, and no more at the one before; undefined: never. */
  set(at: number | undefined): void {
    if (at === undefined) {
      this.stop();
      return;
    }
    this.#at = at;
    if (this.#at >= this.#firesAt) return;
    this.#cancel?.();
    this.#start();
  }

  stop(): void {
    this.#at = Number.POSITIVE_INFINITY;
    this.#firesAt = Number.POSITIVE_INFINITY;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #start(): void {
    this.#firesAt = this.#at;
    this.#cancel = this.#clock.after(Math.max(0, this.#at - this.#clock.now()), () => this.#fired());
  }

  #fired(): void {
    this.#firesAt = Number.POSITIVE_INFINITY;
    this.#cancel = undefined;
    if (this.#clock.now() >= this.#at) {
      this.#at = Number.POSITIVE_INFINITY;
      this.#wake();
    } else {
      this.#start();
    }
  }
}
