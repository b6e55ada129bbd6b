import { type NamedPeer, type PeerAddress, peerIdPrefix } from "@ckmesh/wire";
import { NEAR_LINKS, NEAR_NEWS_MS, PEERS_INTERVAL_MS, PEERS_PER_MESSAGE } from "../constants.js";
import type { LinkId, SwarmEffect } from "../swarm-messages.js";
import { nearestIds } from "./id-ring.js";
import type { Link } from "./link.js";

/** Near peers named to one peer that are remembered: more than change in an hour. */
const MAX_NEAR_TOLD = 64;

/**
 * Names connected peers to each other now and then: nobody depends on the tracker for that. Those that are near to
 * the receiver in id order come first, and soon: so everybody finds his neighbours on the ring of ids.
 */
export class PeerExchange {
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #emit: (effect: SwarmEffect) => void;
  #dueAt = 0;
  /** Counts what may change who is near to whom. */
  #changes = 0;

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
    this.#changes += 1;
  }

  /** A link went, or a peer said whom it is linked with: others may be near to somebody now. */
  changed(): void {
    this.#changes += 1;
  }

  /** Sends what is due; returns when to look again. */
  run(now: number): number {
    if (now < this.#dueAt) return this.#dueAt;
    let due = Number.POSITIVE_INFINITY;
    for (const link of this.#links.values()) {
      const isDue = now - link.peersSentAt >= PEERS_INTERVAL_MS;
      const isNews = link.nearChanges !== this.#changes && now - link.nearSentAt >= NEAR_NEWS_MS;
      if (isDue || isNews) this.#tell(link, isDue, now);
      due = Math.min(
        due,
        link.peersSentAt + PEERS_INTERVAL_MS,
        Math.max(now, link.nearSentAt) + NEAR_NEWS_MS,
      );
    }
    this.#dueAt = due;
    return due;
  }

  #tell(link: Link, isDue: boolean, now: number): void {
    const near = this.#nearTo(link);
    link.nearSentAt = now;
    link.nearChanges = this.#changes;
    if (isDue) link.peersSentAt = now;
    const others = isDue ? this.#others(link).filter((other) => !near.includes(other)) : [];
    const peers = [...near, ...others].slice(0, PEERS_PER_MESSAGE).map(nameOf);
    for (const other of near) link.nearTold.add(peerIdPrefix(other.peerId));
    if (peers.length > 0) this.#emit({ type: "send", link: link.id, message: { type: "peers", peers } });
  }

  /** Who would be among the nearest of a peer, is not linked with it and was not named to it for that reason. */
  #nearTo(link: Link): Link[] {
    if (link.nearTold.size > MAX_NEAR_TOLD) link.nearTold.clear();
    const others = this.#others(link).filter((other) => !link.neighbours.has(peerIdPrefix(other.peerId)));
    const ids = others.map((other) => peerIdPrefix(other.peerId));
    const near = nearestIds(peerIdPrefix(link.peerId), [...link.neighbours, ...ids], NEAR_LINKS);
    return others.filter((_, i) => near.has(ids[i] ?? "") && !link.nearTold.has(ids[i] ?? ""));
  }

  #others(link: Link): Link[] {
    return [...this.#links.values()].filter(
      (other) => other.port !== 0 && (other.address !== link.address || other.port !== link.port),
    );
  }
}

function nameOf({ address, port, peerId }: Link): NamedPeer {
  return { address, port, id: peerIdPrefix(peerId) };
}
