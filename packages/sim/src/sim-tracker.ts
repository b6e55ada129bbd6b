import { type Clock, type Random, shuffled } from "@ckmesh/core";
import { MAX_PEERS_PER_ANSWER, type PeerAddress } from "@ckmesh/wire";
import type { SimNode } from "./sim-node.js";

/** Who is there of each version: names at most 50 to one another, as the real tracker does. */
export class SimTracker {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #rttMs: number;
  readonly #members = new Map<number, Set<SimNode>>();
  isUp: boolean;
  requests = 0;

  constructor(clock: Clock, random: Random, rttMs: number, isUp: boolean) {
    this.#clock = clock;
    this.#random = random;
    this.#rttMs = rttMs;
    this.isUp = isUp;
  }

  /** The machine says that it is there; it hears of others, and they of it. */
  announce(node: SimNode): void {
    const members = this.#members.get(node.version) ?? new Set<SimNode>();
    this.#members.set(node.version, members);
    members.add(node);
    if (!this.isUp) return;
    this.requests += 1;
    const others = [...members].filter((n) => n !== node && n.isAlive);
    const isComplete = others.length <= MAX_PEERS_PER_ANSWER;
    const named = isComplete ? others : shuffled(this.#random, others).slice(0, MAX_PEERS_PER_ANSWER);
    this.#clock.after(this.#rttMs, () => {
      node.step({
        type: "candidates",
        source: "tracker",
        peers: named.map(addressOf),
        ...(isComplete && { complete: true }),
      });
      for (const other of named)
        other.step({ type: "candidates", source: "tracker", peers: [addressOf(node)] });
    });
  }

  leave(node: SimNode): void {
    this.#members.get(node.version)?.delete(node);
  }
}

export function addressOf(node: SimNode): PeerAddress {
  return { address: node.address, port: 7650 };
}
