import { type Random, randomInt } from "@ckmesh/core";
import { MAX_PEERS_PER_ANSWER, type PeerAddress } from "@ckmesh/wire";

/** A live client in a swarm. */
export interface Member {
  readonly connection: number;
  readonly peerId: string;
  /** Empty when nobody can dial it. */
  readonly offers: readonly PeerAddress[];
  /** Skipped in `offers` for a receiver that is seen under the same address; empty = nothing to skip. */
  readonly publicAddress: string;
}

interface Seat {
  readonly member: Member;
  seenAt: number;
  /** Position in the list of those that can be dialled; -1 when it cannot. */
  index: number;
}

interface Remembered {
  readonly offers: readonly PeerAddress[];
  readonly expires: number;
}

/** A list of peers for one receiver. */
export interface PeerList {
  readonly peers: readonly PeerAddress[];
  /** Everybody is on it that could be dialled. */
  readonly complete: boolean;
}

/** The members of one swarm in one site. Adding, removing and drawing cost the same at any size. */
export class SwarmMembers {
  readonly #seats = new Map<number, Seat>();
  readonly #dialable: Seat[] = [];
  readonly #remembered = new Map<string, Remembered>();

  get size(): number {
    return this.#seats.size;
  }

  get isEmpty(): boolean {
    return this.#seats.size === 0 && this.#remembered.size === 0;
  }

  /** Adds a member or notes its announce; true when it is new. */
  announce(member: Member, now: number): boolean {
    const seat = this.#seats.get(member.connection);
    if (seat !== undefined) {
      seat.seenAt = now;
      return false;
    }
    const isDialable = member.offers.length > 0;
    const added: Seat = { member, seenAt: now, index: isDialable ? this.#dialable.length : -1 };
    this.#seats.set(member.connection, added);
    if (isDialable) this.#dialable.push(added);
    this.#remembered.delete(member.peerId);
    return true;
  }

  remove(connection: number): void {
    const seat = this.#seats.get(connection);
    if (seat === undefined) return;
    this.#seats.delete(connection);
    const last = seat.index < 0 ? undefined : this.#dialable.pop();
    if (last === undefined || last === seat) return;
    this.#dialable[seat.index] = last;
    last.index = seat.index;
  }

  /** Keeps the addresses of a peer of the time before the start, until `expires`. */
  remember(peerId: string, offers: readonly PeerAddress[], expires: number): void {
    if (this.#remembered.size < MAX_PEERS_PER_ANSWER) this.#remembered.set(peerId, { offers, expires });
  }

  /** Forgets remembered addresses that ran out, and returns the members that were last seen before `oldest`. */
  expire(oldest: number, now: number): readonly number[] {
    for (const [id, entry] of this.#remembered) if (entry.expires <= now) this.#remembered.delete(id);
    return [...this.#seats.values()].filter((s) => s.seenAt < oldest).map((s) => s.member.connection);
  }

  /**
   * At most 50 addresses for `receiver`, of members drawn at random: one of each first, then their others.
   * Live members go before remembered ones.
   */
  listFor(receiver: Member, random: Random, now: number): PeerList {
    const drawn = this.#draw(MAX_PEERS_PER_ANSWER + 1, random).filter((s) => s.member !== receiver);
    const offers = drawn
      .map((seat) => seat.member)
      .map((member) => offersTo(receiver, member))
      .filter((list) => list.length > 0);
    const old = [...this.#remembered]
      .filter(([id, entry]) => entry.expires > now && id !== receiver.peerId)
      .map(([, entry]) => entry.offers);
    const peers = interleave([...offers, ...old]);
    const others = this.#dialable.length - (receiver.offers.length > 0 ? 1 : 0);
    return {
      peers: peers.slice(0, MAX_PEERS_PER_ANSWER),
      complete: others <= drawn.length && peers.length <= MAX_PEERS_PER_ANSWER && old.length === 0,
    };
  }

  /** Members drawn at random, at most `count`, and not only those that can be dialled. */
  receivers(count: number, random: Random): readonly Member[] {
    const all = [...this.#seats.values()].map((seat) => seat.member);
    return distinct(all.length, count, random).flatMap((i) => all[i] ?? []);
  }

  has(connection: number): boolean {
    return this.#seats.has(connection);
  }

  /** Members that can be dialled, drawn at random: what a snapshot keeps. */
  sample(count: number, random: Random): readonly Member[] {
    return this.#draw(count, random).map((seat) => seat.member);
  }

  #draw(count: number, random: Random): readonly Seat[] {
    return distinct(this.#dialable.length, count, random).flatMap((i) => this.#dialable[i] ?? []);
  }
}

/** The addresses of `member` that can be of use to `receiver`: its own public address is a translator's. */
export function offersTo(receiver: Member, member: Member): readonly PeerAddress[] {
  const skip = receiver.publicAddress;
  if (skip === "" || skip !== member.publicAddress) return member.offers;
  return member.offers.filter((offer) => offer.address !== skip);
}

/** First items of all lists, then second ones, and so on. */
function interleave<T>(lists: readonly (readonly T[])[]): readonly T[] {
  const depth = Math.max(0, ...lists.map((list) => list.length));
  return Array.from({ length: depth }, (_, i) => lists.flatMap((list) => list.slice(i, i + 1))).flat();
}

/** At most `count` different integers below `size`, in random order (Floyd's method, then a shuffle). */
function distinct(size: number, count: number, random: Random): readonly number[] {
  const chosen = new Set<number>();
  for (let top = Math.max(0, size - count); top < size; top += 1) {
    const pick = randomInt(random, top + 1);
    chosen.add(chosen.has(pick) ? top : pick);
  }
  const list = [...chosen];
  for (let i = list.length - 1; i > 0; i -= 1) {
    const j = randomInt(random, i + 1);
    const [a, b] = [list[i] ?? 0, list[j] ?? 0];
    list[i] = b;
    list[j] = a;
  }
  return list;
}
