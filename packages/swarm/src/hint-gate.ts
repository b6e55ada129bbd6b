import type { Random } from "@ckmesh/core";
import { HINT_INTERVAL_MS, HINT_SPREAD_MS } from "./constants.js";

/**
 * When the word of a peer that there is a newer version is followed by a look at the origin. Anybody in the swarm may
 * say it, and it is never believed: it only makes the next check an early one, seldom enough to do no harm.
 */
export class HintGate {
  readonly #random: Random;
  #followedAt = Number.NEGATIVE_INFINITY;

  constructor(random: Random) {
    this.#random = random;
  }

  /**
   * @param said the version that the peer speaks of
   * @param known the newest that this client has heard of at the origin
   * @param now monotonic ms
   * @returns ms after which to look; undefined: not at all
   */
  heard(said: number, known: number, now: number): number | undefined {
    if (said <= known || now - this.#followedAt < HINT_INTERVAL_MS) return undefined;
    this.#followedAt = now;
    return this.#random.next() * HINT_SPREAD_MS;
  }
}
