import {
  BASE_DELAY_MS,
  MAX_HELD_MS,
  MIN_YIELD_BYTES_PER_SEC,
  YIELD_DECREASE,
  YIELD_FLOOR,
  YIELD_INCREASE,
  YIELD_SAMPLES,
  YIELD_STEP_MS,
  YIELD_TARGET_MS,
} from "../constants.js";
import { RecentExtreme } from "../recent-extreme.js";

/** What else is known when a sample is judged. */
export interface YieldFacts {
  /** What the site's own other requests may add to the delay, ms. */
  readonly ownQueueMs: number;
  /** Bytes per second that this client gets now; 0: not known. */
  readonly rate: number;
  /** Bytes per second that the link carries, as far as seen; 0: not known. */
  readonly linkRate: number;
}

/**
 * Gives way to others on the WAN: where the time to the first byte of range requests rises above its least of the
 * last ten minutes, somebody else fills the queue in front of the link, and this client halves its rate, down
 * to a floor that keeps the samples coming; when the queue is gone it grows again. States: free (no rate is
 * held) ⇄ yielding (a rate is held).
 */
export class WanYield {
  readonly #base = new RecentExtreme("least", BASE_DELAY_MS);
  /** Delay beyond the target, ms, of the last samples. */
  #excess: number[] = [];
  #rate = Number.POSITIVE_INFINITY;
  #steppedAt = Number.NEGATIVE_INFINITY;
  #heldSince = 0;

  /** Bytes per second for this client now; infinite: free. */
  get rate(): number {
    return this.#rate;
  }

  /** The last sample was late: small requests will soon tell whether it was chance. */
  get isSuspicious(): boolean {
    return (this.#excess.at(-1) ?? 0) > 0;
  }

  /** Least time to first byte of the last ten minutes, ms; 0: not known. */
  get baseMs(): number {
    return this.#base.value ?? 0;
  }

  /** A time to first byte of a request that is no part of this: a head. It can only lower the least. */
  seen(ms: number, now: number): void {
    this.#base.add(ms, now);
  }

  /** The first byte of a range request came after `ms`. */
  sample(ms: number, facts: YieldFacts, now: number): void {
    // What is measured beside others is no base, however long they stay; for ever is no base either.
    const isHeld = Number.isFinite(this.#rate) && now - this.#heldSince < MAX_HELD_MS;
    if (!isHeld || ms < this.baseMs) this.#base.add(ms, now);
    this.#excess = [
      ...this.#excess.slice(1 - YIELD_SAMPLES),
      ms - this.baseMs - facts.ownQueueMs - YIELD_TARGET_MS,
    ];
    if (this.#excess.length < YIELD_SAMPLES || now - this.#steppedAt < YIELD_STEP_MS) return;
    const late = this.#excess.filter((excess) => excess > 0).length;
    // A full queue delays all; a busy machine only some.
    if (late === YIELD_SAMPLES) this.#decrease(facts, now);
    else if (late * 2 < YIELD_SAMPLES) this.#increase(facts, now);
  }

  #decrease({ rate, linkRate }: YieldFacts, now: number): void {
    const held = Math.min(this.#rate, rate > 0 ? rate : this.#rate);
    if (!Number.isFinite(held)) return; // nothing has been measured yet that could be halved
    if (!Number.isFinite(this.#rate)) this.#heldSince = now;
    this.#steppedAt = now;
    this.#rate = Math.max(YIELD_FLOOR * linkRate, MIN_YIELD_BYTES_PER_SEC, held * YIELD_DECREASE);
  }

  #increase({ linkRate }: YieldFacts, now: number): void {
    if (!Number.isFinite(this.#rate)) return;
    this.#steppedAt = now;
    this.#rate *= YIELD_INCREASE;
    if (this.#rate >= linkRate) this.#rate = Number.POSITIVE_INFINITY;
  }
}
