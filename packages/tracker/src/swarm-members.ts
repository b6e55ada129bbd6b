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
    const drawn = this.#draw(MAX_PEERS_PER_ANSWER + 1, random);
    const lists: (readonly PeerAddress[])[] = [];
    let others = this.#dialable.length;
    for (const { member } of drawn) {
      if (member === receiver) others -= 1;
      else lists.push(offersTo(receiver, member));
    }
    if (lists.length > MAX_PEERS_PER_ANSWER) dropOne(lists, random);
    const seen = lists.length;
    for (const [id, entry] of this.#remembered) {
      if (entry.expires > now && id !== receiver.peerId) lists.push(entry.offers);
    }
    const { items, isWhole } = interleave(lists, MAX_PEERS_PER_ANSWER);
    return { peers: items, complete: isWhole && others === seen && lists.length === seen };
  }

  /** Members drawn at random, at most `count`, and not only those that can be dialled. */
  receivers(count: number, random: Random): readonly Member[] {
    const all = [...this.#seats.values()].map((seat) => seat.member);
    return all.length <= count ? all : distinct(all.length, count, random).flatMap((i) => all[i] ?? []);
  }

  has(connection: number): boolean {
    return this.#seats.has(connection);
  }

  /** Members that can be dialled, drawn at random: what a snapshot keeps. */
  sample(count: number, random: Random): readonly Member[] {
    return this.#draw(count, random).map((seat) => seat.member);
  }

  #draw(count: number, random: Random): readonly Seat[] {
    const all = this.#dialable;
    return all.length <= count ? all : distinct(all.length, count, random).flatMap((i) => all[i] ?? []);
  }
}

/** The addresses of `member` that can be of use to `receiver`: its own public address is a translator's. */
export function offersTo(receiver: Member, member: Member): readonly PeerAddress[] {
  const skip = receiver.publicAddress;
  if (skip === "" || skip !== member.publicAddress) return member.offers;
  return member.offers.filter((offer) => offer.address !== skip);
}

/**
 * First items of all lists, then second ones, and so on, at most `limit`; whether that is all of them. One
 * list is made for each announce: plain loops cost a third of flatMap here.
 */
function interleave<T>(
  lists: readonly (readonly T[])[],
  limit: number,
): { readonly items: readonly T[]; readonly isWhole: boolean } {
  const items: T[] = [];
  for (let depth = 0, hasMore = true; hasMore; depth += 1) {
    hasMore = false;
    for (const list of lists) {
      const item = list[depth];
      if (item === undefined) continue;
      if (items.length >= limit) return { items, isWhole: false };
      items.push(item);
      if (list.length > depth + 1) hasMore = true;
    }
  }
  return { items, isWhole: true };
}

/** Takes out one item, each as likely as any other. */
function dropOne(items: unknown[], random: Random): void {
  const at = randomInt(random, items.length);
  const last = items.pop();
  if (at < items.length) items[at] = last;
}

/** `count` different integers below `size`, each as likely as any other (Floyd's method); `count` < `size`. */
function distinct(size: number, count: number, random: Random): readonly number[] {
  const chosen = new Set<number>();
  for (let top = size - count; top < size; top += 1) {
    const pick = randomInt(random, top + 1);
    chosen.add(chosen.has(pick) ? top : pick);
  }
  return [...chosen];
}
