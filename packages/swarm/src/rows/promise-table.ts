import { Bitfield, type Run } from "@ckmesh/core";
import type { RowPromise } from "@ckmesh/wire";
import {
  BAR_MS,
  MAX_CLAIMS,
  MAX_PROMISES,
  MAX_VOID_CLAIMS,
  PROMISE_MS,
  PROMISE_PARTS,
  PROMISE_STEP_ROWS,
} from "../constants.js";

export type PromiseNews = "new" | "repeat" | "stale" | "excess";

interface KnownPromise {
  readonly promise: RowPromise;
  /** Promised rows that nobody has been seen to offer since. */
  readonly left: Bitfield;
  /** Rows seen to come since `progressAt`. */
  came: number;
  /** Rows that must come within the deadline. */
  readonly step: number;
  progressAt: number;
}

/**
 * What other peers promise to bring without the WAN (site swarm rule 8): the newest promise of each. A promise
 * is void when too few of its rows appear in time, or its owner leaves. A peer whose promises come to nothing
 * may not promise for a while.
 */
export class PromiseTable {
  readonly #rows: number;
  readonly #promises = new Map<string, KnownPromise>();
  /** Newest epoch by promiser: also of promises that are void, so that a replay does not revive them. */
  readonly #epochs = new Map<string, number>();
  readonly #strikes = new Map<string, number>();
  readonly #barred = new Map<string, number>();
  readonly #leftOut: Bitfield;
  #mayStrike = false;

  /** @param rows rows of the version */
  constructor(rows: number) {
    this.#rows = rows;
    this.#leftOut = new Bitfield(rows);
  }

  get size(): number {
    return this.#promises.size;
  }

  /** Promises that hold, as they came. */
  active(): RowPromise[] {
    return [...this.#promises.values()].map(({ promise }) => promise);
  }

  /** Files a verified promise; "new" ones are relayed. */
  add(promise: RowPromise, now: number): PromiseNews {
    const { promiser, epoch, runs } = promise;
    if ((this.#barred.get(promiser) ?? 0) > now) return "excess";
    const newest = this.#epochs.get(promiser);
    if (newest !== undefined && epoch <= newest) return epoch === newest ? "repeat" : "stale";
    const known = this.#promises.get(promiser);
    if (known === undefined && runs.length > 0 && this.#promises.size >= MAX_PROMISES) return "excess";
    remember(this.#epochs, promiser, epoch);
    const promised = new Bitfield(this.#rows);
    for (const { first, count } of runs) for (let row = first; row < first + count; row++) promised.add(row);
    if (known !== undefined && known.came === 0 && isDropped(known.left, promised)) {
      this.#strike(promiser, 1, now);
      if ((this.#barred.get(promiser) ?? 0) > now) return "new";
    }
    if (runs.length === 0) {
      this.#promises.delete(promiser);
      return "new";
    }
    if (known !== undefined) this.takenBack(known.left, promised);
    // Promising again buys no time, unless all that was promised before has come.
    const isUnderWay = known !== undefined && known.left.count > 0;
    this.#promises.set(promiser, {
      promise,
      left: promised,
      came: isUnderWay ? known.came : 0,
      step: Math.max(PROMISE_STEP_ROWS, Math.ceil(promised.count / PROMISE_PARTS)),
      progressAt: isUnderWay ? known.progressAt : now,
    });
    return "new";
  }

  /** True if so many peers promise the row. */
  isPromised(row: number, promisers = 1): boolean {
    let count = 0;
    for (const { left } of this.#promises.values()) {
      count += Number(left.has(row));
      if (count >= promisers) return true;
    }
    return false;
  }

  /** A peer, or this client, goes on promising, but of `before` only what is in `after`. */
  takenBack(before: Bitfield, after: Bitfield): void {
    for (const { first, count } of before.runs())
      for (let row = first; row < first + count; row++) if (!after.has(row)) this.#leftOut.add(row);
  }

  /**
   * True if somebody took the row back and kept others: who knows what it can bring leaves it out. What newcomers
   * promise before they know that too is likely to be taken back as well.
   */
  isLeftOut(row: number): boolean {
    return this.#leftOut.has(row);
  }

  /**
   * Rows came on offer at a peer, or are held now. Whoever brought them: haves that are no news are not sent, so it
   * cannot be told, and where others bring the rows nobody waits.
   */
  came(runs: readonly Run[], now: number): void {
    for (const [promiser, known] of this.#promises) {
      let came = 0;
      for (const { first, count } of runs)
        for (let row = first; row < first + count; row++) came += Number(known.left.delete(row));
      known.came += came;
      if (known.came < known.step && known.left.count > 0) continue;
      if (came > 0) this.#strikes.delete(promiser);
      known.came = 0;
      known.progressAt = now;
    }
  }

  /** The promiser has gone: true if it had promised anything. It may say the same again when it is back. */
  drop(promiser: string): boolean {
    if (!this.#promises.delete(promiser)) return false;
    this.#epochs.delete(promiser);
    return true;
  }

  /**
   * Voids promises that were not kept in time.
   * @param isThere true for rows that are held or on offer: nobody owes them any more
   * @returns true if any rows are no longer promised
   */
  expire(now: number, isThere: (row: number) => boolean, isLinked: (promiser: string) => boolean): boolean {
    let hasVoided = false;
    for (const [promiser, known] of this.#promises) {
      if (now - known.progressAt < PROMISE_MS) continue;
      this.#promises.delete(promiser);
      hasVoided = true;
      let isOwed = false;
      for (const { first, count } of known.left.runs())
        for (let row = first; row < first + count && !isOwed; row++) isOwed = !isThere(row);
      // Of a peer that is not connected, others may know better: its first void promises are forgiven.
      if (isOwed) this.#strike(promiser, isLinked(promiser) ? MAX_VOID_CLAIMS : 1, now);
    }
    return hasVoided;
  }

  /** The frame table is verified: time counts from now on, as before nobody could deliver a frame. */
  framesKnown(now: number): void {
    this.#mayStrike = true;
    for (const known of this.#promises.values()) known.progressAt = now;
  }

  /** When `expire` next has something to do. */
  deadline(): number {
    let due = Number.POSITIVE_INFINITY;
    for (const { progressAt } of this.#promises.values()) due = Math.min(due, progressAt + PROMISE_MS);
    return due;
  }

  /** Not before the frame table is known: who waits for a thin WAN has broken no word. */
  #strike(promiser: string, count: number, now: number): void {
    if (!this.#mayStrike) return;
    const strikes = (this.#strikes.get(promiser) ?? 0) + count;
    remember(this.#strikes, promiser, strikes);
    if (strikes < MAX_VOID_CLAIMS) return;
    this.#strikes.delete(promiser);
    this.#promises.delete(promiser);
    remember(this.#barred, promiser, now + BAR_MS);
  }
}

/** True if a row that was owed is owed no more. */
function isDropped(left: Bitfield, promised: Bitfield): boolean {
  for (const { first, count } of left.runs()) if (!promised.hasAll(first, count)) return true;
  return false;
}

/** Ids of peers are cheap to make: none of these maps grows without end. */
function remember(map: Map<string, number>, promiser: string, value: number): void {
  if (map.size >= MAX_CLAIMS && !map.has(promiser)) map.clear();
  map.set(promiser, value);
}
