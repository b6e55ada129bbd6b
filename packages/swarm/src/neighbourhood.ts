import { peerIdPrefix } from "@ckmesh/wire";
import { NEIGHBOURS_MS } from "./constants.js";
import type { Link } from "./link.js";
import type { LinkId, SwarmEffect } from "./swarm-messages.js";

/** Tells peers whom this client is linked with, so that claims are not relayed to those who have them first hand. */
export class Neighbourhood {
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #emit: (effect: SwarmEffect) => void;
  #dueAt = Number.POSITIVE_INFINITY;

  constructor(links: ReadonlyMap<LinkId, Link>, emit: (effect: SwarmEffect) => void) {
    this.#links = links;
    this.#emit = emit;
  }

  /** A link came or went. */
  changed(now: number): void {
    this.#dueAt = Math.min(this.#dueAt, now + NEIGHBOURS_MS);
  }

  /** Sends what is due; returns when to look again. */
  run(now: number): number {
    if (now < this.#dueAt) return this.#dueAt;
    this.#dueAt = Number.POSITIVE_INFINITY;
    const ids = [...this.#links.values()].map((link) => peerIdPrefix(link.peerId));
    for (const link of this.#links.values())
      this.#emit({ type: "send", link: link.id, message: { type: "neighbours", ids } });
    return this.#dueAt;
  }
}
