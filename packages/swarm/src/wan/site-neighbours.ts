import type { WanMover } from "./wan-share.js";

/** A neighbour that was not heard of for so long fetches no more; it speaks every second. */
const LINGER_MS = 3500;
/** Most that count: anybody in the LAN can invent some, and all of them leave this client its part. */
const MAX_NEIGHBOURS = 16;

/**
 * Machines of the LAN that fetch over the same WAN for whatever image: their claims are heard only by who follows
 * the same one (site swarm rule 10).
 */
export class SiteNeighbours {
  readonly #heard = new Map<string, { readonly rate: number; readonly at: number }>();

  /**
   * @param peerId hexadecimal, or its beginning
   * @param rate bytes per second that it gets; 0: not known yet
   */
  heard(peerId: string, rate: number, now: number): void {
    this.#forget(now);
    if (this.#heard.has(peerId) || this.#heard.size < MAX_NEIGHBOURS)
      this.#heard.set(peerId, { rate, at: now });
  }

  /** Those that fetch now, but for those who are known by their claims. */
  movers(now: number, claimers: ReadonlySet<string>): readonly WanMover[] {
    this.#forget(now);
    const isClaimer = (beginning: string): boolean => [...claimers].some((id) => id.startsWith(beginning));
    return [...this.#heard].filter(([peerId]) => !isClaimer(peerId)).map(([, mover]) => mover);
  }

  #forget(now: number): void {
    for (const [peerId, { at }] of this.#heard) if (now - at > LINGER_MS) this.#heard.delete(peerId);
  }
}
