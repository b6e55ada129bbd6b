import type { Random } from "@ckmesh/core";
import { HINT_INTERVAL_MS, HINT_LOOKS, HINT_SPREAD_MS } from "./constants.js";

/**
 * When the word of a peer that there is a newer version is followed by a look at the origin. Anybody in the swarm may
 * say it, and it is never believed: it only makes the next check an early one, seldom enough to do no harm.
 */
export class HintGate {
  readonly #random: Random;
  /** The last looks, oldest first; at most `HINT_LOOKS`. */
  #followed: readonly { readonly peer: string; readonly at: number }[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  /**
   * @param peer id of the peer that says it
   * @param said the version that the peer speaks of
   * @param known the newest that this client has heard of at the origin
   * @param now monotonic ms
   * @returns ms after which to look; undefined: not at all
   */
  heard(peer: string, said: number, known: number, now: number): number | undefined {
    if (said <= known) return undefined;
    const recent = this.#followed.filter(({ at }) => now - at < HINT_INTERVAL_MS);
    if (recent.length >= HINT_LOOKS || recent.some((look) => look.peer === peer)) return undefined;
    this.#followed = [...recent, { peer, at: now }];
    return this.#random.next() * HINT_SPREAD_MS;
  }
}
