import type { LinkId, SwarmEffect } from "../swarm-messages.js";
import type { Link } from "./link.js";

/** Tells the peers of this version that there is a newer one, each once (site swarm rule 8). */
export class NewerWord {
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #emit: (effect: SwarmEffect) => void;
  #version: number | undefined;

  constructor(links: ReadonlyMap<LinkId, Link>, emit: (effect: SwarmEffect) => void) {
    this.#links = links;
    this.#emit = emit;
  }

  /** Peers that offer every row. */
  get holders(): number {
    let count = 0;
    for (const link of this.#links.values()) count += Number(link.bits.isFull);
    return count;
  }

  /** From now on, also those who come later. */
  say(version: number): void {
    this.#version = version;
  }

  run(): void {
    if (this.#version === undefined) return;
    for (const link of this.#links.values()) {
      if (link.toldNewer === this.#version) continue;
      link.toldNewer = this.#version;
      this.#emit({ type: "send", link: link.id, message: { type: "newer", version: this.#version } });
    }
  }
}
