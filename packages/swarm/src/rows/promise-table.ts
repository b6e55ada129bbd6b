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
  PROMISE_WORD_MS,
  PROMISE_WORDS_MS,
} from "../constants.js";

/** "word": the same rows once more, as their owner is at work; "repeat": the same message. */
export type PromiseNews = "new" | "word" | "repeat" | "stale" | "excess";

interface KnownPromise {
  readonly promise: RowPromise;
  /** Promised rows that nobody has been seen to offer since. */
  readonly left: Bitfield;
  /** Rows seen to come since `progressAt`. */
  came: number;
  /** Rows that must come within the deadline. */
  readonly step: number;
  /** When that many came last. */
  progressAt: number;
  /** When any came last; before that, when it was made. */
  cameAt: number;
  /** When its owner last said it. */
  saidAt: number;
}

/** Rows that must come of a promise of so many within `PROMISE_MS`. */
export function promiseStep(rows: number): number {
  return Math.max(PROMISE_STEP_ROWS, Math.ceil(rows / PROMISE_PARTS));
}

/**
 * What other peers promise to bring without the WAN (site swarm rule 8): the newest promise of each. A promise
 * is void when too few of its rows appear in time, or its owner leaves. Who is at work, but slow, says it again, and is
 * waited for longer; its word is good for a limited time. A peer whose promises come to nothing may not promise for a
 * while.
 */
export class PromiseTable {
  readonly #rows: number;
  readonly #promises = new Map<string, KnownPromise>();
  /** Newest epoch by promiser: also of promises that are void, so that a replay does not revive them. */
  readonly #epochs = new Map<string, number>();
  readonly #strikes = new Map<string, number>();
  /** Time that was waited on the word of a promiser alone, ms. */
  readonly #waited = new Map<string, number>();
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

  /** True if it promises anything. */
  has(promiser: string): boolean {
    return this.#promises.has(promiser);
  }

  /** Promises that hold, as they came. */
  active(): RowPromise[] {
    return [...this.#promises.values()].map(({ promise }) => promise);
  }

  /** Files a verified promise; "new" ones are relayed, and words. */
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
    if (known !== undefined && isSame(known.promise.runs, runs)) {
      this.#promises.set(promiser, { ...known, promise, saidAt: now });
      return known.left.count > 0 ? "word" : "new";
    }
    if (known !== undefined) this.takenBack(known.left, promised);
    // Other rows are not seen to come any sooner, unless all that was promised before has come.
    const isUnderWay = known !== undefined && known.left.count > 0;
    this.#promises.set(promiser, {
      promise,
      left: promised,
      came: isUnderWay ? known.came : 0,
      step: promiseStep(promised.count),
      progressAt: isUnderWay ? known.progressAt : now,
      cameAt: isUnderWay ? known.cameAt : now,
      saidAt: now,
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
      if (came > 0) known.cameAt = now;
      if (known.came < known.step && known.left.count > 0) continue;
      if (came > 0) this.#strikes.delete(promiser);
      const waited = now - known.progressAt - PROMISE_MS;
      if (waited > 0) remember(this.#waited, promiser, this.#waitedFor(promiser) + waited);
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
      if (now < this.#dueAt(promiser, known)) continue;
      this.#promises.delete(promiser);
      // Its word is good for nothing any more.
      if (now > known.progressAt + PROMISE_MS) remember(this.#waited, promiser, PROMISE_WORDS_MS);
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
    for (const known of this.#promises.values()) known.progressAt = known.cameAt = known.saidAt = now;
  }

  /** When `expire` next has something to do. */
  deadline(): number {
    let due = Number.POSITIVE_INFINITY;
    for (const [promiser, known] of this.#promises) due = Math.min(due, this.#dueAt(promiser, known));
    return due;
  }

  /** When the promise is void, if nothing comes and its owner says nothing before. */
  #dueAt(promiser: string, { progressAt, cameAt, saidAt }: KnownPromise): number {
    const due = progressAt + PROMISE_MS;
    const left = PROMISE_WORDS_MS - this.#waitedFor(promiser);
    return Math.max(due, Math.min(saidAt + PROMISE_MS, cameAt + PROMISE_WORD_MS, due + left));
  }

  #waitedFor(promiser: string): number {
    return this.#waited.get(promiser) ?? 0;
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

export function isSame(a: readonly Run[], b: readonly Run[]): boolean {
  return (
    a.length === b.length && a.every(({ first, count }, i) => b[i]?.first === first && b[i].count === count)
  );
}

/** Ids of peers are cheap to make: none of these maps grows without end. */
function remember(map: Map<string, number>, promiser: string, value: number): void {
  if (map.size >= MAX_CLAIMS && !map.has(promiser)) map.clear();
  map.set(promiser, value);
}
