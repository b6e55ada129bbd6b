import type { WanMover } from "./wan-share.js";

/** A neighbour that was not heard of for so long fetches no more; it speaks every second. */
const LINGER_MS = 3500;
/** Most that count: with more machines that fetch different images at a time, a site exceeds its cap. */
const MAX_NEIGHBOURS = 64;
/** Most of one address: whoever invents some leaves this client a seventeenth, unless it forges addresses, too. */
const MAX_PER_ADDRESS = 16;

interface Neighbour extends WanMover {
  readonly at: number;
  readonly address: string;
}

/**
 * Machines of the LAN that fetch over the same WAN for whatever image: their claims are heard only by who follows
 * the same one (site swarm rule 10).
 */
export class SiteNeighbours {
  readonly #heard = new Map<string, Neighbour>();

  /**
   * @param peerId hexadecimal, or its beginning
   * @param rate bytes per second that it gets; 0: not known yet
   * @param address where that came from
   */
  heard(peerId: string, rate: number, address: string, now: number): void {
    this.#forget(now);
    if (this.#heard.has(peerId) || this.#hasRoom(address))
      this.#heard.set(peerId, { rate, at: now, address });
  }

  /** Those that fetch now, but for those who are known by their claims. */
  movers(now: number, claimers: ReadonlySet<string>): readonly WanMover[] {
    this.#forget(now);
    const isClaimer = (beginning: string): boolean => [...claimers].some((id) => id.startsWith(beginning));
    return [...this.#heard].filter(([peerId]) => !isClaimer(peerId)).map(([, mover]) => mover);
  }

  #hasRoom(address: string): boolean {
    if (this.#heard.size >= MAX_NEIGHBOURS) return false;
    return [...this.#heard.values()].filter((other) => other.address === address).length < MAX_PER_ADDRESS;
  }

  #forget(now: number): void {
    for (const [peerId, { at }] of this.#heard) if (now - at > LINGER_MS) this.#heard.delete(peerId);
  }
}
