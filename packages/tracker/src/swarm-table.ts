import type { Random } from "@ckmesh/core";
import { MAX_PEERS_PER_ANSWER, type PeerAddress } from "@ckmesh/wire";
import { type Member, offersTo, type PeerList, SwarmMembers } from "./swarm-members.js";
import { PUSH_DELAY_MS, PUSH_FANOUT, PUSH_PAUSE_MS } from "./tracker-rules.js";

/** A swarm of one site as a snapshot keeps it; without peers it is gone. */
export interface RememberedSwarm {
  readonly key: string;
  /** 32 bytes. */
  readonly swarm: Uint8Array;
  readonly peers: readonly { readonly peerId: string; readonly offers: readonly PeerAddress[] }[];
}

/** "These joined", for one member. */
export interface Push {
  readonly connection: number;
  readonly swarm: Uint8Array;
  readonly peers: readonly PeerAddress[];
}

interface Entry {
  readonly swarm: Uint8Array;
  readonly members: SwarmMembers;
  /** Not yet told to the others; at most as many as fit in one message. */
  joined: Member[];
  lastPush: number;
}

/** All swarms of all sites, by key. */
export class SwarmTable {
  readonly #random: Random;
  readonly #entries = new Map<string, Entry>();
  /** When the joins of a swarm are told. */
  readonly #pushes = new Map<string, number>();
  readonly #changed = new Map<string, Uint8Array>();
  #nextPush = Number.POSITIVE_INFINITY;

  constructor(random: Random) {
    this.#random = random;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** When `takePushes` has something, monotonic ms; infinite when nothing waits. */
  get nextPush(): number {
    return this.#nextPush;
  }

  /** Adds a member or notes its announce, and draws a list of peers for it. */
  announce(key: string, swarm: Uint8Array, member: Member, now: number): PeerList {
    const entry = this.#entries.get(key) ?? this.#create(key, swarm);
    // Also when nothing is new: a snapshot that is not renewed grows too old to be used.
    this.#changed.set(key, entry.swarm);
    const isNew = entry.members.announce(member, now);
    if (isNew && member.offers.length > 0 && entry.members.size > 1) {
      this.#schedulePush(key, entry, member, now);
    }
    return entry.members.listFor(member, this.#random, now);
  }

  leave(key: string, connection: number): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.members.remove(connection);
    this.#changed.set(key, entry.swarm);
    if (entry.members.isEmpty) this.#delete(key);
  }

  /** Joins that are due, for those members that are to hear of them. */
  takePushes(now: number): readonly Push[] {
    if (now < this.#nextPush) return [];
    const pushes: Push[] = [];
    this.#nextPush = Number.POSITIVE_INFINITY;
    for (const [key, due] of this.#pushes) {
      const entry = this.#entries.get(key);
      if (due > now && entry !== undefined) {
        this.#nextPush = Math.min(this.#nextPush, due);
        continue;
      }
      this.#pushes.delete(key);
      if (entry !== undefined) pushes.push(...this.#push(entry, now));
    }
    return pushes;
  }

  /** Members last seen before `oldest`; the caller takes them out. Forgets remembered addresses that ran out. */
  expire(oldest: number, now: number): readonly { readonly key: string; readonly connection: number }[] {
    const found: { key: string; connection: number }[] = [];
    for (const [key, entry] of this.#entries) {
      for (const connection of entry.members.expire(oldest, now)) found.push({ key, connection });
      if (entry.members.isEmpty) this.#delete(key);
    }
    return found;
  }

  remember(swarms: readonly RememberedSwarm[], expires: number): void {
    for (const { key, swarm, peers } of swarms) {
      if (peers.length === 0) continue;
      const entry = this.#entries.get(key) ?? this.#create(key, swarm);
      for (const { peerId, offers } of peers) entry.members.remember(peerId, offers, expires);
    }
  }

  takeChanged(): readonly RememberedSwarm[] {
    const changed = [...this.#changed].map(([key, swarm]) => {
      const members = this.#entries.get(key)?.members.sample(MAX_PEERS_PER_ANSWER, this.#random) ?? [];
      return { key, swarm, peers: members.map(({ peerId, offers }) => ({ peerId, offers })) };
    });
    this.#changed.clear();
    return changed;
  }

  #create(key: string, swarm: Uint8Array): Entry {
    // A copy: `swarm` may be a view into a whole message.
    const entry: Entry = {
      swarm: swarm.slice(),
      members: new SwarmMembers(),
      joined: [],
      lastPush: Number.NEGATIVE_INFINITY,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  #delete(key: string): void {
    this.#entries.delete(key);
    this.#pushes.delete(key);
  }

  #schedulePush(key: string, entry: Entry, member: Member, now: number): void {
    if (entry.joined.length < MAX_PEERS_PER_ANSWER) entry.joined.push(member);
    if (this.#pushes.has(key)) return;
    const due = Math.max(now + PUSH_DELAY_MS, entry.lastPush + PUSH_PAUSE_MS);
    this.#pushes.set(key, due);
    this.#nextPush = Math.min(this.#nextPush, due);
  }

  #push(entry: Entry, now: number): readonly Push[] {
    const joined = entry.joined.filter((member) => entry.members.has(member.connection));
    entry.joined = [];
    entry.lastPush = now;
    return entry.members.receivers(PUSH_FANOUT, this.#random).flatMap((receiver) => {
      const peers = joined
        .filter((member) => member !== receiver)
        .flatMap((member) => offersTo(receiver, member))
        .slice(0, MAX_PEERS_PER_ANSWER);
      return peers.length === 0 ? [] : [{ connection: receiver.connection, swarm: entry.swarm, peers }];
    });
  }
}
