import { MAX_DATA_LINKS, SOURCE_MS, SOURCE_ROTATE_MS } from "../constants.js";
import type { Link } from "./link.js";

/** A link that is no source and offers rows that are wanted. */
export interface Candidate {
  readonly link: Link;
  /** It offers a wanted row that no source does. */
  readonly isOnly: boolean;
}

/**
 * Of which links rows are asked (site swarm rule 3: ten at most, a subset of the control links). A place is free as
 * soon as its peer has nothing more that is wanted. While all ten are of use, one gives way to a peer that offers
 * what none of them does, and now and then the slowest to another one, which may be better. What gives way is not
 * asked any more, and keeps its place until what it was asked has come.
 */
export class DataLinks {
  /** Sources, and since when. */
  readonly #since = new Map<Link, number>();
  readonly #leaving = new Set<Link>();
  #rotateAt = 0;

  get size(): number {
    return this.#since.size;
  }

  /** True if more may be asked of the link; takes it on while there is a place. */
  admits(link: Link, now: number): boolean {
    if (this.#since.has(link)) return !this.#leaving.has(link);
    if (this.#since.size >= MAX_DATA_LINKS) return false;
    this.#since.set(link, now);
    return true;
  }

  has(link: Link): boolean {
    return this.#since.has(link);
  }

  /** True if a source offers the row. */
  offer(row: number): boolean {
    for (const link of this.#since.keys()) if (link.bits.has(row)) return true;
    return false;
  }

  /** The link is gone, or has nothing that is wanted. */
  release(link: Link): void {
    this.#since.delete(link);
    this.#leaving.delete(link);
  }

  /** Makes room for candidates where that is worth it. Returns who is no longer a source. */
  review(candidates: readonly Candidate[], now: number): Link[] {
    const left = [...this.#leaving].filter((link) => link.asked.size === 0);
    for (const link of left) this.release(link);
    if (this.#since.size < MAX_DATA_LINKS) {
      this.#rotateAt = now + SOURCE_ROTATE_MS;
      return left;
    }
    const isUrgent = candidates.some(({ isOnly }) => isOnly);
    if (this.#leaving.size > 0 || (!isUrgent && now < this.#rotateAt)) return left;
    const worst = this.#worst(now);
    const isBetter = candidates.some(({ link, isOnly }) => isOnly || mayBeBetter(link, worst));
    if (worst === undefined || !isBetter) return left;
    this.#rotateAt = now + SOURCE_ROTATE_MS;
    if (worst.asked.size > 0) {
      this.#leaving.add(worst);
      return left;
    }
    this.release(worst);
    return [...left, worst];
  }

  /** Who does not serve us, else the slowest; nobody who has just come. */
  #worst(now: number): Link | undefined {
    let worst: Link | undefined;
    for (const [link, since] of this.#since) {
      if (now - since < SOURCE_MS) continue;
      if (worst === undefined || usefulness(link) < usefulness(worst)) worst = link;
    }
    return worst;
  }
}

/** Bytes per second that came of it; less than nothing when it does not serve us. */
function usefulness(link: Link): number {
  return link.isUnchoked ? link.rate : -1;
}

/** Who was never measured may be better. */
function mayBeBetter(link: Link, than: Link | undefined): boolean {
  return than !== undefined && (link.rate === 0 || link.rate > than.rate);
}

/** Best first: those that offer what no source does, then the fastest, then the nearest on the wire. */
export function byUse(a: Candidate, b: Candidate): number {
  return Number(b.isOnly) - Number(a.isOnly) || b.link.rate - a.link.rate || a.link.rttMs - b.link.rttMs;
}
