import type { PeerAddress } from "@ckmesh/wire";
import { PEERS_INTERVAL_MS, PEERS_PER_MESSAGE } from "./constants.js";
import type { Link } from "./link.js";
import type { LinkId, SwarmEffect } from "./swarm-messages.js";

/** Names connected peers to each other now and then: nobody depends on the tracker for that. */
export class PeerExchange {
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #emit: (effect: SwarmEffect) => void;
  #dueAt = 0;

  constructor(links: ReadonlyMap<LinkId, Link>, emit: (effect: SwarmEffect) => void) {
    this.#links = links;
    this.#emit = emit;
  }

  /** Addresses of connected peers that take connections. */
  peers(): PeerAddress[] {
    return [...this.#links.values()]
      .filter((l) => l.port !== 0)
      .map(({ address, port }) => ({ address, port }));
  }

  /** A link came up: it is told at the next `run`. */
  greet(): void {
    this.#dueAt = 0;
  }

  /** Sends what is due; returns when to look again. */
  run(now: number): number {
    if (now < this.#dueAt) return this.#dueAt;
    let due = Number.POSITIVE_INFINITY;
    for (const link of this.#links.values()) {
      if (now - link.peersSentAt >= PEERS_INTERVAL_MS) {
        link.peersSentAt = now;
        const others = this.peers().filter((p) => p.address !== link.address || p.port !== link.port);
        const peers = others.slice(0, PEERS_PER_MESSAGE);
        if (peers.length > 0) this.#emit({ type: "send", link: link.id, message: { type: "peers", peers } });
      }
      due = Math.min(due, link.peersSentAt + PEERS_INTERVAL_MS);
    }
    this.#dueAt = due;
    return due;
  }
}
