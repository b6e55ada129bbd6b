import type { Random } from "@ckmesh/core";
import {
  MAX_PATIENCE_MS,
  MAX_PAUSE_MS,
  PATIENCE_JITTER_MS,
  PATIENCE_MS,
  PROMISE_WORD_MS,
} from "../constants.js";

/** When this client stops to wait for others (site swarm rule 12): so that it completes whatever they do. */
export class Patience {
  readonly #jitterMs: number;
  #lastVerifiedAt: number;
  /** Waiting as one was told is not being kept waiting: patience begins after it. */
  #from = 0;
  #wordAt = Number.NEGATIVE_INFINITY;
  #isWordGood = true;

  constructor(random: Random, now: number) {
    this.#jitterMs = random.next() * PATIENCE_JITTER_MS;
    this.#lastVerifiedAt = now;
  }

  /** A row was verified. */
  renewed(now: number): void {
    this.#lastVerifiedAt = now;
  }

  /** Patience has just run out and something is done about it. What was waited for on somebody's word: it was no good. */
  ranOut(now: number): void {
    if (this.#wordAt > this.#lastVerifiedAt) this.#isWordGood = false;
    this.renewed(now);
  }

  /** A peer says that it is at work on rows that it promised: waited for, as the promise is, for a while. */
  heardOfWork(now: number): void {
    if (!this.#isWordGood) return;
    this.#wordAt = now;
    this.#from = Math.max(this.#from, Math.min(now, this.#lastVerifiedAt + PROMISE_WORD_MS));
  }

  /** The origin's own word, or the gate: nothing was to be had before. */
  toldToWait(until: number): void {
    this.#from = until;
  }

  /** What peers say of a pause does not go on for ever. */
  heardOfPause(until: number): void {
    this.#from = Math.max(this.#from, Math.min(until, this.#lastVerifiedAt + MAX_PAUSE_MS));
  }

  /** @param longestVoidMs the longest void time of the claims in view: three of them are waited for */
  endsAt(longestVoidMs: number): number {
    const voidTimes = Math.min(MAX_PATIENCE_MS, 3 * longestVoidMs);
    return Math.max(this.#lastVerifiedAt, this.#from) + Math.max(PATIENCE_MS, voidTimes) + this.#jitterMs;
  }
}
