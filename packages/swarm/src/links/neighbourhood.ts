import { type PeerIdPrefix, peerIdPrefix } from "@ckmesh/wire";
import { NEIGHBOURS_MS } from "../constants.js";
import type { LinkId, SwarmEffect } from "../swarm-messages.js";
import type { Link } from "./link.js";

/**
 * Tells peers whom this client is linked with, so that claims are not relayed to those who have them first hand. A
 * link that is about to end is not named any more by either side: relays begin before it is gone.
 */
export class Neighbourhood {
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #self: PeerIdPrefix;
  readonly #emit: (effect: SwarmEffect) => void;
  #dueAt = Number.POSITIVE_INFINITY;

  constructor(peerId: string, links: ReadonlyMap<LinkId, Link>, emit: (effect: SwarmEffect) => void) {
    this.#self = peerIdPrefix(peerId);
    this.#links = links;
    this.#emit = emit;
  }

  /** A link came or went, or is about to. */
  changed(now: number): void {
    this.#dueAt = Math.min(this.#dueAt, now + NEIGHBOURS_MS);
  }

  /** A peer says whom it is linked with. */
  heard(link: Link, ids: readonly PeerIdPrefix[], now: number): void {
    link.neighbours = new Set(ids);
    const isUnlisted = !link.neighbours.has(this.#self);
    if (isUnlisted !== link.isUnlisted) this.changed(now);
    link.isUnlisted = isUnlisted;
  }

  /** Sends what is due; returns when to look again. */
  run(now: number): number {
    if (now < this.#dueAt) return this.#dueAt;
    this.#dueAt = Number.POSITIVE_INFINITY;
    const staying = [...this.#links.values()].filter((link) => link.leavesAt === undefined);
    const ids = staying.flatMap((link) => (link.isUnlisted ? [] : peerIdPrefix(link.peerId)));
    for (const link of this.#links.values()) {
      // Who is unlisted by us and lists us again would never hear that it may.
      const own = link.isUnlisted && link.leavesAt === undefined ? [peerIdPrefix(link.peerId)] : [];
      const message = { type: "neighbours", ids: [...ids, ...own] } as const;
      this.#emit({ type: "send", link: link.id, message });
    }
    return this.#dueAt;
  }
}
