import type { Random } from "@ckmesh/core";
import { type PeerIdPrefix, peerIdPrefix } from "@ckmesh/wire";
import { MAX_LEAVING, MAX_LINKS, NEAR_DIAL_MS, NEAR_LINKS, RANDOM_REFRESH_MS } from "../constants.js";
import type { LinkId } from "../swarm-messages.js";
import { nearestIds } from "./id-ring.js";
import { placeOf } from "./ids-at-address.js";
import type { Link } from "./link.js";

/** An address with the id that a peer is said to have there. */
export interface HintedAddress {
  readonly address: string;
  readonly port: number;
  readonly id: PeerIdPrefix;
}

export interface OverlayContext {
  readonly peerId: string;
  readonly allowLoopback: boolean;
  readonly random: Random;
  readonly links: ReadonlyMap<LinkId, Link>;
  /** True while rows move over the link, or are about to. */
  readonly isBusy: (link: Link, now: number) => boolean;
}

/**
 * The shape of a site's overlay where not everybody can be linked with everybody (site swarm rule 3): of a full
 * machine's links, up to twelve are those nearest to it in id order, the rest stay random. The near ones hold the
 * site together, the random ones make ways short. A near peer that asks takes the place of a random one, never that
 * of a link over which rows move. An address counts as near once, whatever ids come from it.
 */
export class Overlay {
  readonly #context: OverlayContext;
  readonly #self: PeerIdPrefix;
  #nearDialAt = 0;
  #refreshAt: number;

  constructor(context: OverlayContext, now: number) {
    this.#context = context;
    this.#self = peerIdPrefix(context.peerId);
    this.#refreshAt = now + this.#spread(RANDOM_REFRESH_MS);
  }

  /** The link that goes in favour of a new one; undefined: the new one is not near, or none can be spared. */
  placeFor(link: Link, now: number): Link | undefined {
    const near = this.#nearest([...this.#context.links.values(), link]);
    const leaving = [...this.#context.links.values()].filter((other) => other.leavesAt !== undefined);
    return near.has(link) && leaving.length < MAX_LEAVING ? this.#spare(near, now) : undefined;
  }

  /** Of the addresses with a hint, those where somebody nearer than the present links would be. */
  nearer(hinted: readonly HintedAddress[]): HintedAddress[] {
    const { links, allowLoopback } = this.#context;
    const taken = new Set([...links.values()].map((link) => placeOf(link, allowLoopback)));
    const free = hinted.filter((peer) => !taken.has(placeOf(peer, allowLoopback)));
    if (free.length === 0) return [];
    const ids = [...links.values()].map((link) => peerIdPrefix(link.peerId));
    const near = nearestIds(this.#self, [...ids, ...free.map((peer) => peer.id)], NEAR_LINKS);
    return free.filter((peer) => near.has(peer.id));
  }

  /** Whether a full machine may dial a nearer peer now; it then waits for a while. */
  takeNearDial(now: number): boolean {
    if (now < this.#nearDialAt) return false;
    this.#nearDialAt = now + this.#spread(NEAR_DIAL_MS);
    return true;
  }

  /** A full machine's random link that has been up longest, when it is time to meet somebody else. */
  stale(now: number): Link | undefined {
    if (now < this.#refreshAt) return undefined;
    this.#refreshAt = now + this.#spread(RANDOM_REFRESH_MS);
    if (this.#context.links.size < MAX_LINKS) return undefined;
    return this.#spare(this.#nearest([...this.#context.links.values()]), now);
  }

  /** When `takeNearDial` or `stale` may have something. */
  deadline(): number {
    return Math.min(this.#nearDialAt, this.#refreshAt);
  }

  /** Not all machines of a site at the same moment. */
  #spread(ms: number): number {
    return ms * (0.5 + this.#context.random.next());
  }

  #nearest(links: readonly Link[]): Set<Link> {
    const byPlace = new Map<string, Link[]>();
    for (const link of links) {
      const place = placeOf(link, this.#context.allowLoopback);
      byPlace.set(place, [...(byPlace.get(place) ?? []), link]);
    }
    // Of two ids at one address the older link stands for it.
    const one = [...byPlace.values()].flatMap(([first]) => first ?? []);
    const ids = one.map((link) => peerIdPrefix(link.peerId));
    const near = nearestIds(this.#self, ids, NEAR_LINKS);
    return new Set(one.filter((link) => near.has(peerIdPrefix(link.peerId))));
  }

  /** Whoever has most other links loses least; of those, the one linked for longest. */
  #spare(near: ReadonlySet<Link>, now: number): Link | undefined {
    let spare: Link | undefined;
    for (const link of this.#context.links.values()) {
      if (near.has(link) || link.leavesAt !== undefined || this.#context.isBusy(link, now)) continue;
      if (spare === undefined || link.neighbours.size > spare.neighbours.size) spare = link;
    }
    return spare;
  }
}
