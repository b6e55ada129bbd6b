import { Bitfield, type Random, type Run, shuffled } from "@ckmesh/core";
import { MAX_PROMISE_RUNS, peerIdPrefix, type RowPromise } from "@ckmesh/wire";
import {
  ENOUGH_PROMISERS,
  MAX_HOPS,
  MAX_PROMISES_PER_SECOND,
  PROMISE_INTERVAL_MS,
  PROMISE_WORD_INTERVAL_MS,
  RELAY_FANOUT,
} from "../constants.js";
import type { Link } from "../links/link.js";
import type { LinkId, SwarmEffect } from "../swarm-messages.js";
import { isSame, type PromiseNews, PromiseTable, promiseStep } from "./promise-table.js";
import type { RowTable } from "./row-table.js";

/** What is signed: a promise without key and signature. */
export type UnsignedPromise = Omit<RowPromise, "key" | "signature">;

interface PromiseOptions {
  readonly peerId: string;
  readonly table: RowTable;
  readonly random: Random;
  readonly links: ReadonlyMap<LinkId, Link>;
  readonly signPromise: (promise: UnsignedPromise) => RowPromise;
  readonly verifyPromise: (promise: RowPromise) => boolean;
  readonly isOffered: (row: number) => boolean;
  readonly emit: (effect: SwarmEffect) => void;
  /** Start of this run's epochs: higher than any of an earlier run. */
  readonly epoch: number;
}

/**
 * Rows that come without the WAN (site swarm rule 8): what this client is about to produce is promised to all,
 * what others promise is filed and relayed. Nobody claims a promised row.
 */
export class PromiseGossip {
  readonly #options: PromiseOptions;
  readonly #table: PromiseTable;
  /** Local data is about to deliver these. */
  #local: Bitfield;
  /** A source beside this swarm may deliver these; peers may be asked all the same. */
  #beside: Bitfield;
  #isSure = false;
  /** What others were told. */
  #told: Bitfield;
  #last: RowPromise | undefined;
  #epoch: number;
  /** Promisers whose link has ended, while others are linked with them: on a large site links change. */
  readonly #distant = new Set<string>();
  #changed = false;
  #flushAt = 0;
  /** What is promised here is worked on, since others were last told. */
  #hasMoved = false;
  /** Rows that came of it since. */
  #cameLocal = 0;
  #wordAt = 0;
  /** Promises came, went or expired since this was last cleared. */
  hasNews = false;

  constructor(options: PromiseOptions) {
    this.#options = options;
    const { rows } = options.table;
    this.#table = new PromiseTable(rows);
    this.#local = new Bitfield(rows);
    this.#beside = new Bitfield(rows);
    this.#told = new Bitfield(rows);
    this.#epoch = options.epoch;
  }

  /** True if the row comes without the WAN. */
  isPromised(row: number): boolean {
    return this.#beside.has(row) || this.#table.isPromised(row);
  }

  /** True if the row is promised only by others, and was taken back by somebody who knows what it can bring. */
  isLeftOut(row: number): boolean {
    return !this.#beside.has(row) && this.#table.isLeftOut(row);
  }

  /** Of these rows, those that are missing, and how many of them others offer or promise. */
  expected(rows: Bitfield): { readonly missing: number; readonly coming: number } {
    const { table, isOffered } = this.#options;
    let [missing, coming] = [0, 0];
    for (const { first, count } of rows.runs())
      for (let row = first; row < first + count; row++) {
        if (table.have.has(row)) continue;
        missing += 1;
        coming += Number(this.#table.isPromised(row) || isOffered(row));
      }
    return { missing, coming };
  }

  /** Local data is about to deliver these rows too. */
  planLocal(rows: Bitfield): void {
    for (const run of rows.runs()) this.#local.addRun(run);
    this.#changed = true;
  }

  framesKnown(now: number): void {
    this.#table.framesKnown(now);
  }

  /** Local data delivers no more. */
  endLocal(): void {
    this.#local = new Bitfield(this.#local.length);
    this.#changed = true;
  }

  /** @param isSure false: the rows are only not claimed here, others are not told */
  setBeside(rows: Bitfield, isSure: boolean): void {
    this.#beside = rows;
    this.#isSure = isSure;
    this.#changed = true;
    this.hasNews = true;
  }

  /** Tells a new peer the promises that hold. */
  greet(link: Link): void {
    if (this.#last !== undefined && this.#last.runs.length > 0) this.#send(link, this.#last, 0);
    for (const promise of this.#table.active())
      if (promise.promiser !== link.peerId) this.#send(link, promise, 1);
  }

  /** What is promised here is worked on: so many rows have come of it, or some of what they are made of. */
  moved(rows: number): void {
    this.#hasMoved = true;
    this.#cameLocal += rows;
  }

  /** Files a promise that arrived and passes it on; undefined if it changes nothing here. */
  receive(from: Link, promise: RowPromise, hops: number, now: number): PromiseNews | undefined {
    if (now - from.promisesSince >= 1000) {
      from.promisesSince = now;
      from.promiseCount = 0;
    }
    from.promiseCount += 1;
    const { peerId, verifyPromise, random, links } = this.#options;
    if (from.promiseCount > MAX_PROMISES_PER_SECOND || promise.promiser === peerId) return undefined;
    const news = verifyPromise(promise) ? this.#table.add(promise, now) : "stale";
    if (news !== "new" && news !== "word") return undefined;
    if (news === "new") this.#othersChanged();
    if (hops + 1 >= MAX_HOPS) return news;
    // Who is linked with the promiser hears it first hand.
    const promiser = peerIdPrefix(promise.promiser);
    const others = [...links.values()].filter(
      (l) => l !== from && l.peerId !== promise.promiser && !l.neighbours.has(promiser),
    );
    for (const link of shuffled(random, others).slice(0, RELAY_FANOUT)) this.#send(link, promise, hops + 1);
    return news;
  }

  /** Rows came on offer at a peer, or are held here now. */
  came(runs: readonly Run[], now: number): void {
    if (this.#table.size > 0) this.#table.came(runs, now);
  }

  /** A peer that was connected has gone, and what it promised with it if nobody else is linked with it. */
  gone(peerId: string): void {
    if (this.#table.has(peerId)) this.#distant.add(peerId);
    this.lookForDistant();
  }

  /** Links have ended, here or elsewhere: who has gone altogether? */
  lookForDistant(): void {
    for (const promiser of this.#distant) {
      const isLinked = this.#isLinked(promiser);
      if (!isLinked && this.#table.has(promiser) && this.#isNeighbour(promiser)) continue;
      this.#distant.delete(promiser);
      if (!isLinked && this.#table.drop(promiser)) this.#othersChanged();
    }
  }

  /** Voids what was not kept, tells what changed; returns when to look again. */
  run(now: number): number {
    if (now >= this.#table.deadline()) {
      const { table, isOffered } = this.#options;
      const isThere = (row: number): boolean => !table.isMissing(row) || isOffered(row);
      if (this.#table.expire(now, isThere, (promiser) => this.#isLinked(promiser))) this.#othersChanged();
    }
    if (this.#changed && now >= this.#flushAt) this.#tell(now);
    if (this.#hasMoved && now >= this.#wordAt) this.#sayAgain(now);
    return Math.min(
      this.#table.deadline(),
      this.#changed ? this.#flushAt : Number.POSITIVE_INFINITY,
      this.#hasMoved ? this.#wordAt : Number.POSITIVE_INFINITY,
    );
  }

  /** What others promise is another: rows may be claimed, or our own promise may be needed. */
  #othersChanged(): void {
    this.hasNews = true;
    this.#changed = true;
  }

  #isLinked(promiser: string): boolean {
    for (const link of this.#options.links.values()) if (link.peerId === promiser) return true;
    return false;
  }

  #isNeighbour(promiser: string): boolean {
    const prefix = peerIdPrefix(promiser);
    for (const link of this.#options.links.values()) if (link.neighbours.has(prefix)) return true;
    return false;
  }

  /** Promises what is planned and not promised by others already; rows that came of it stay promised. */
  #tell(now: number): void {
    const { table } = this.#options;
    this.#changed = false;
    const next = new Bitfield(table.rows);
    for (const run of this.#told.runs())
      for (let row = run.first; row < run.first + run.count; row++)
        if (this.#isPlanned(row) || table.have.has(row)) next.add(row);
    let isNew = next.count < this.#told.count;
    for (const plan of this.#isSure ? [this.#local, this.#beside] : [this.#local])
      for (const run of plan.runs())
        for (let row = run.first; row < run.first + run.count; row++) {
          if (table.have.has(row) || this.#table.isPromised(row, ENOUGH_PROMISERS)) continue;
          if (next.add(row)) isNew = true;
        }
    if (!isNew) return;
    const runs = longestRuns(next);
    if (isSame(runs, this.#last?.runs ?? [])) return;
    if (runs.length > 0) this.#table.takenBack(this.#told, next);
    this.#flushAt = now + PROMISE_INTERVAL_MS;
    this.#told = new Bitfield(table.rows);
    for (const run of runs) this.#told.addRun(run);
    this.#say(runs, now);
  }

  /** The word of who is at work, and slow: where enough rows come, they speak for it. */
  #sayAgain(now: number): void {
    const isSeen = this.#cameLocal >= promiseStep(this.#told.count);
    const runs = this.#last?.runs ?? [];
    const { have } = this.#options.table;
    if (!isSeen && !runs.every(({ first, count }) => have.hasAll(first, count))) this.#say(runs, now);
    else this.#said(now);
  }

  #say(runs: readonly Run[], now: number): void {
    const { peerId, signPromise, links } = this.#options;
    this.#epoch += 1;
    this.#last = signPromise({ runs, promiser: peerId, epoch: this.#epoch });
    for (const link of links.values()) this.#send(link, this.#last, 0);
    this.#said(now);
  }

  #said(now: number): void {
    this.#hasMoved = false;
    this.#cameLocal = 0;
    this.#wordAt = now + PROMISE_WORD_INTERVAL_MS;
  }

  #isPlanned(row: number): boolean {
    return this.#local.has(row) || (this.#isSure && this.#beside.has(row));
  }

  #send(link: Link, promise: RowPromise, hops: number): void {
    this.#options.emit({ type: "send", link: link.id, message: { type: "promise", promise, hops } });
  }
}

/** As many runs as a promise may have; the longest where there are more. */
function longestRuns(rows: Bitfield): readonly Run[] {
  const runs = [...rows.runs()];
  if (runs.length <= MAX_PROMISE_RUNS) return runs;
  return runs
    .toSorted((a, b) => b.count - a.count)
    .slice(0, MAX_PROMISE_RUNS)
    .toSorted((a, b) => a.first - b.first);
}
