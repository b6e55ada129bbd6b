import { MIN_GOSSIP_MS } from "./constants.js";

const SAMPLES = 64;

/**
 * How long a claim takes to reach everybody (site swarm rule 6): the 95th percentile of (arrival - first sight)
 * of duplicates, plus half of the largest neighbour's round trip.
 */
export class GossipDelay {
  readonly #samples: number[] = [];
  #at = 0;
  #p95 = 0;

  /** A duplicate arrived this long after the first copy. */
  observe(ms: number): void {
    this.#samples[this.#at % SAMPLES] = ms;
    this.#at += 1;
    const sorted = this.#samples.toSorted((a, b) => a - b);
    this.#p95 = sorted[Math.floor(sorted.length * 0.95)] ?? 0;
  }

  /** @param maxRttMs largest round trip to a connected peer */
  estimate(maxRttMs: number): number {
    return Math.max(MIN_GOSSIP_MS, this.#p95 + maxRttMs / 2);
  }
}
