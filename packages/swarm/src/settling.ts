import type { PeerAddress } from "@ckmesh/wire";
import { MIN_GOSSIP_MS, SETTLE_LISTED_MS, SETTLE_MS } from "./constants.js";
import type { Link } from "./links/link.js";

/** What settling needs to know of the rest of the machine. */
interface SettlingContext {
  readonly links: () => Iterable<Link>;
  readonly gossipMs: () => number;
  /** True if the address was tried, or may not be. */
  readonly hasAnswered: (peer: PeerAddress) => boolean;
}

/**
 * When this client has seen enough of its site to claim (site swarm rule 2): after a fixed time, longer where the
 * tracker says that there are others, or as soon as everybody on the tracker's first list has answered, said what it holds, and had time to pass on its claims. Who
 * comes to the tracker later finds this client on its own list, and hears of its claims before it settles: so the
 * first of a site that starts as one begins at once, and nobody waits for the last.
 */
export class Settling {
  readonly #context: SettlingContext;
  readonly #startedAt: number;
  #listed: readonly PeerAddress[] | undefined;
  #isSettled: boolean;

  /** @param isSettled nobody is expected */
  constructor(context: SettlingContext, isSettled: boolean, now: number) {
    this.#context = context;
    this.#isSettled = isSettled;
    this.#startedAt = now;
  }

  get isSettled(): boolean {
    return this.#isSettled;
  }

  /** The tracker named everybody it knows. */
  listed(peers: readonly PeerAddress[]): void {
    this.#listed ??= peers;
  }

  /** Looks whether it is time; returns when to look again. */
  run(now: number): number {
    if (this.#isSettled) return Number.POSITIVE_INFINITY;
    const age = now - this.#startedAt;
    const most = this.#listed === undefined ? SETTLE_MS : SETTLE_LISTED_MS;
    this.#isSettled = age >= most || this.#haveAllAnswered(now, age);
    return this.#isSettled ? now : Math.min(this.#startedAt + most, now + 2 * MIN_GOSSIP_MS);
  }

  #haveAllAnswered(now: number, age: number): boolean {
    const { links, gossipMs, hasAnswered } = this.#context;
    const heardMs = 2 * gossipMs();
    if (this.#listed === undefined || age < heardMs || !this.#listed.every(hasAnswered)) return false;
    const names = new Set(this.#listed.map(nameOf));
    for (const link of links()) {
      const isExpected = names.has(nameOf(link));
      if (isExpected && !(link.hasGreeted && now - link.upAt >= heardMs)) return false;
    }
    return true;
  }
}

function nameOf({ address, port }: PeerAddress): string {
  return `${address} ${port}`;
}
