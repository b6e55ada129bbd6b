import { type Random, shuffled } from "@ckmesh/core";
import { type NamedPeer, type PeerAddress, type PeerIdPrefix, peerIdPrefix } from "@ckmesh/wire";
import {
  DIAL_BACKOFF_MS,
  DIALS_PER_SECOND,
  FRESH_BACKOFF_MS,
  MAX_ADDRESSES,
  MAX_DIAL_BACKOFF_MS,
  MAX_NEW_ADDRESSES_PER_MINUTE,
  MAX_PENDING_DIALS,
  SHORT_LINK_MS,
} from "../constants.js";
import { DialPolicy, type DialScope } from "./dial-policy.js";
import type { HintedAddress } from "./overlay.js";

type AddressState = "idle" | "dialling" | "connected";

interface Known {
  readonly peer: PeerAddress;
  state: AddressState;
  failures: number;
  /** Not before this time. */
  notBefore: number;
  /** Has been tried at least once since it became known. */
  answered: boolean;
  readonly addedAt: number;
  /** Who is said to be there, or was. */
  id: PeerIdPrefix | undefined;
}

/** The addresses that may be peers, and when each is dialled next. */
export class Dialer {
  readonly #known = new Map<string, Known>();
  readonly #random: Random;
  readonly #scope: { allowLoopback: boolean; peerPort: number };
  #policy: DialPolicy;
  readonly #recentDials: number[] = [];
  /** Addresses being dialled. */
  #pending = 0;
  /** Nothing can be dialled before this, unless an address is added or changes its state. */
  #quietUntil = 0;
  /** New addresses by naming peer within the running minute. */
  readonly #named = new Map<string, { since: number; count: number }>();

  constructor(scope: Omit<DialScope, "own" | "site">, random: Random) {
    this.#scope = { ...scope };
    this.#random = random;
    this.#policy = new DialPolicy({ ...scope, own: [], site: [] });
  }

  get policy(): DialPolicy {
    return this.#policy;
  }

  get size(): number {
    return this.#known.size;
  }

  setNetworks(own: readonly string[], site: readonly string[]): void {
    this.#policy = new DialPolicy({ ...this.#scope, own, site });
    for (const [key, known] of this.#known) if (!this.#policy.admits(known.peer)) this.#delete(key);
  }

  /** @param namedBy the link that named them; absent for the tracker, the LAN and memory */
  add(peers: readonly NamedPeer[], now: number, namedBy?: string): void {
    this.#quietUntil = 0;
    for (const peer of peers) {
      const key = keyOf(peer);
      const known = this.#known.get(key);
      if (known !== undefined) {
        known.id ??= peer.id;
        if (namedBy === undefined) known.notBefore = Math.min(known.notBefore, now + FRESH_BACKOFF_MS);
        continue;
      }
      if (!this.#policy.admits(peer)) continue;
      if (namedBy !== undefined && !this.#mayName(namedBy, now)) return;
      if (this.#known.size >= MAX_ADDRESSES && !this.#forgetWorst()) return;
      this.#known.set(key, {
        peer: { address: peer.address, port: peer.port },
        state: "idle",
        failures: 0,
        notBefore: now,
        answered: false,
        addedAt: now,
        id: peer.id,
      });
    }
  }

  /** True if somebody could be dialled now to whom there is no link. */
  hasOther(now: number): boolean {
    for (const known of this.#known.values())
      if (known.state === "idle" && known.notBefore <= now) return true;
    return false;
  }

  /** Addresses that may be dialled now and where somebody is known, or said, to be. */
  hinted(now: number): HintedAddress[] {
    const hinted: HintedAddress[] = [];
    for (const { peer, id, state, notBefore } of this.#known.values())
      if (id !== undefined && state === "idle" && notBefore <= now) hinted.push({ ...peer, id });
    return hinted;
  }

  /**
   * Addresses to dial now, so that at most `wanted` more links come of it.
   * @param first which of them go before the others
   */
  due(now: number, wanted: number, first: () => readonly PeerAddress[] = () => []): PeerAddress[] {
    if (now < this.#quietUntil) return [];
    while (now - (this.#recentDials[0] ?? now) >= 1000) this.#recentDials.shift();
    const room = Math.min(
      wanted - this.#pending,
      MAX_PENDING_DIALS - this.#pending,
      DIALS_PER_SECOND - this.#recentDials.length,
    );
    if (room <= 0) return [];
    const ready = [...this.#known.values()].filter((k) => k.state === "idle" && k.notBefore <= now);
    if (ready.length === 0) {
      this.#quietUntil = this.deadline(now, wanted);
      return [];
    }
    const ahead = new Set(first().map(keyOf));
    const isAhead = (known: Known): boolean => ahead.has(keyOf(known.peer));
    const order = shuffled(this.#random, ready);
    const chosen = [...order.filter(isAhead), ...order.filter((known) => !isAhead(known))].slice(0, room);
    for (const entry of chosen) {
      this.#become(entry, "dialling");
      this.#recentDials.push(now);
    }
    return chosen.map((entry) => entry.peer);
  }

  failed(peer: PeerAddress, now: number): void {
    const known = this.#known.get(keyOf(peer));
    if (known === undefined) return;
    this.#quietUntil = 0;
    this.#become(known, "idle");
    known.answered = true;
    const wait = Math.min(MAX_DIAL_BACKOFF_MS, DIAL_BACKOFF_MS * 2 ** Math.min(known.failures, 20));
    known.failures += 1;
    known.notBefore = now + wait * (0.5 + this.#random.next());
  }

  /** A link to this address is up; inbound ones too, under the port they listen on. */
  connected(peer: PeerAddress & { readonly peerId: string }, now: number): void {
    if (peer.port === 0) return;
    if (!this.#known.has(keyOf(peer))) this.add([{ address: peer.address, port: peer.port }], now);
    const known = this.#known.get(keyOf(peer));
    if (known === undefined) return;
    this.#become(known, "connected");
    known.answered = true;
    known.id = peerIdPrefix(peer.peerId);
  }

  /** The link is gone after `livedMs`: soon tried again if it held, ever later if the peer does not keep us. */
  disconnected(peer: PeerAddress, now: number, livedMs: number): void {
    const known = this.#known.get(keyOf(peer));
    if (known === undefined) return;
    if (livedMs >= SHORT_LINK_MS) known.failures = 0;
    this.failed(peer, now);
  }

  forget(peer: PeerAddress): void {
    this.#delete(keyOf(peer));
  }

  /** True if the address was tried since it became known, or is none to be tried. */
  hasAnswered(peer: PeerAddress): boolean {
    return this.#known.get(keyOf(peer))?.answered ?? true;
  }

  /** When the next address may be dialled, if `wanted` more links are. */
  deadline(now: number, wanted: number): number {
    if (now < this.#quietUntil) return this.#quietUntil;
    if (this.#pending >= Math.min(wanted, MAX_PENDING_DIALS)) return Number.POSITIVE_INFINITY;
    if (this.#recentDials.length >= DIALS_PER_SECOND) return (this.#recentDials[0] ?? now) + 1000;
    let due = Number.POSITIVE_INFINITY;
    for (const known of this.#known.values())
      if (known.state === "idle") due = Math.min(due, known.notBefore);
    return due;
  }

  #become(known: Known, state: AddressState): void {
    this.#pending += Number(state === "dialling") - Number(known.state === "dialling");
    known.state = state;
  }

  #delete(key: string): void {
    const known = this.#known.get(key);
    if (known?.state === "dialling") this.#pending -= 1;
    this.#known.delete(key);
  }

  #mayName(link: string, now: number): boolean {
    const entry = this.#named.get(link);
    if (entry === undefined || now - entry.since >= 60_000) {
      if (this.#named.size >= MAX_ADDRESSES) this.#named.clear();
      this.#named.set(link, { since: now, count: 1 });
      return true;
    }
    entry.count += 1;
    return entry.count <= MAX_NEW_ADDRESSES_PER_MINUTE;
  }

  /** Makes room: the address that failed most, never one in use. */
  #forgetWorst(): boolean {
    const idle = [...this.#known].filter(([, k]) => k.state === "idle" && k.failures > 0);
    const worst = idle.toSorted(([, a], [, b]) => b.failures - a.failures || a.addedAt - b.addedAt)[0];
    if (worst !== undefined) this.#delete(worst[0]);
    return worst !== undefined;
  }
}

function keyOf(peer: PeerAddress): string {
  return `${peer.address} ${peer.port}`;
}
