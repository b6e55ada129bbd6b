/** Lets `burst` units through at once and `perSec` a second in the long run. */
export class TokenBucket {
  #tokens: number;
  #at: number;

  constructor(burst: number, now: number) {
    this.#tokens = burst;
    this.#at = now;
  }

  /** Takes one unit; false when there is none. */
  take(now: number, burst: number, perSec: number): boolean {
    this.#tokens = Math.min(burst, this.#tokens + (Math.max(0, now - this.#at) * perSec) / 1000);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
