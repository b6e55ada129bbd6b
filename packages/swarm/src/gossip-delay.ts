import { MIN_GOSSIP_MS } from "./constants.js";

const SAMPLES = 64;

/**
 * How long a claim takes to reach everybody (site swarm rule 6): the 95th percentile of (arrival - first sight)
 * of duplicates, plus half of the largest neighbour's round trip.
 */
export class GossipDelay {
  /** The last samples in the order they came (a ring), and by size. */
  readonly #samples: number[] = [];
  readonly #sorted: number[] = [];
  #at = 0;

  /** A duplicate arrived this long after the first copy. */
  observe(ms: number): void {
    const old = this.#samples[this.#at];
    if (old !== undefined) this.#sorted.splice(this.#place(old), 1);
    this.#samples[this.#at] = ms;
    this.#at = (this.#at + 1) % SAMPLES;
    this.#sorted.splice(this.#place(ms), 0, ms);
  }

  /** @param maxRttMs largest round trip to a connected peer */
  estimate(maxRttMs: number): number {
    const p95 = this.#sorted[Math.floor(this.#sorted.length * 0.95)] ?? 0;
    return Math.max(MIN_GOSSIP_MS, p95 + maxRttMs / 2);
  }

  /** The lowest place in the sorted samples whose value is not below `ms`. */
  #place(ms: number): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#sorted[middle] ?? 0) < ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
