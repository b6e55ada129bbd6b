import type { WanLink } from "./wan-link.js";

/**
 * One origin for several sites: its egress is shared max-min among the sites that fetch, as the real one
 * groups its requests by site. Without a limit sites do not notice each other.
 */
export class SimOrigin {
  readonly #links = new Set<WanLink>();
  #rate: number;

  /** @param rate egress in bits per second; infinite by default */
  constructor(rate = Number.POSITIVE_INFINITY) {
    this.#rate = rate / 8000;
  }

  /** Bytes that left the origin. */
  get bytes(): number {
    let sum = 0;
    for (const link of this.#links) sum += link.bytes;
    return sum;
  }

  setRate(bits: number): void {
    this.#rate = bits / 8000;
    this.share();
  }

  join(link: WanLink): void {
    this.#links.add(link);
  }

  /** A site began or ended to fetch, or its link changed. */
  share(): void {
    if (!Number.isFinite(this.#rate)) return;
    const wanting = [...this.#links].filter((link) => link.demand > 0);
    let left = this.#rate;
    let count = wanting.length;
    for (const link of wanting.toSorted((a, b) => a.demand - b.demand)) {
      const share = Math.min(link.demand, left / count);
      link.setShare(share);
      left -= share;
      count -= 1;
    }
  }
}
