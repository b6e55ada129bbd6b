import type { Bitfield, Run } from "@ckmesh/core";
import { SpanGrid } from "./span-grid.js";

/** What is being done about a row. */
export type RowState = "free" | "asked" | "fetching" | "local" | "elsewhere" | "held" | "unwanted";
const CODE: Readonly<Record<RowState, number>> = {
  free: 0,
  asked: 1,
  fetching: 2,
  local: 3,
  elsewhere: 4,
  held: 5,
  unwanted: 6,
};

/** A section of the index as the swarm sees it, in head order. */
export interface PieceSection {
  /** Bytes of its pieces, in order. */
  readonly lengths: Uint32Array;
  /** False: not fetched, claimed or offered for now (`ids` while it can be recomputed later). */
  readonly wanted: boolean;
}

/**
 * The state of every row: free (nobody was asked), asked (of a peer), fetching (from the origin), local (about
 * to come from local data), elsewhere (asked in another swarm), held, unwanted. Counts free rows by span, so that the picker and the claims need
 * not scan. Frame rows count as unwanted until their lengths are known.
 */
export class RowTable {
  readonly grid: SpanGrid;
  readonly pieceRows: number;
  readonly #states: Uint8Array;
  readonly #have: Bitfield;
  readonly #sections: readonly PieceSection[];
  readonly #first: Run;
  #isUnlocked = false;
  #free: Uint32Array;
  #missing = 0;
  #asked = 0;

  /**
   * @param have rows held at the start; the table owns it from now on
   * @param first rows without which no other index row can be checked (`hashes`): the only ones wanted before
   * @param spanBytes as for {@link SpanGrid}
   */
  constructor(
    rows: number,
    sections: readonly PieceSection[],
    have: Bitfield,
    first: Run,
    spanBytes?: number,
  ) {
    this.#sections = sections;
    this.#first = first;
    this.grid = new SpanGrid(rows, spanBytes);
    this.#states = new Uint8Array(rows).fill(CODE.unwanted);
    this.#have = have;
    this.#free = new Uint32Array(0);
    let pieces = 0;
    for (const section of sections) {
      this.grid.add(section);
      pieces += section.lengths.length;
    }
    this.pieceRows = pieces;
    for (const run of have.runs()) this.#fill(run, CODE.held);
    this.#want(first.first, first.count);
    this.#recount();
    this.unlock();
  }

  /** True when this call made the other index rows wanted: the first ones are held now. */
  unlock(): boolean {
    if (this.#isUnlocked || !this.#have.hasAll(this.#first.first, this.#first.count)) return false;
    this.#isUnlocked = true;
    let at = 0;
    for (const section of this.#sections) {
      if (section.wanted) this.#want(at, section.lengths.length);
      at += section.lengths.length;
    }
    this.#recount();
    return true;
  }

  /** Rows of the version. */
  get rows(): number {
    return this.#states.length;
  }

  /** Rows held; read only. */
  get have(): Bitfield {
    return this.#have;
  }

  /** Wanted rows that are not held, of those known so far. */
  get missing(): number {
    return this.#missing;
  }

  /** Rows asked of peers. */
  get asked(): number {
    return this.#asked;
  }

  get framesKnown(): boolean {
    return this.grid.knownRows === this.#states.length;
  }

  /** True once every wanted row is held. */
  get isComplete(): boolean {
    return this.#isUnlocked && this.framesKnown && this.#missing === 0;
  }

  /**
   * The frame table is verified: frame rows exist from now on.
   * @param wanted rows that are; undefined: all
   */
  addFrames(lengths: Uint32Array, wanted?: Bitfield): void {
    if (this.framesKnown) return;
    this.grid.add({ lengths });
    this.#want(this.pieceRows, lengths.length);
    for (const run of wanted?.runs(false, this.pieceRows) ?? [])
      for (let row = run.first; row < run.first + run.count; row++)
        if (this.isFree(row)) this.#states[row] = CODE.unwanted;
    this.#recount();
  }

  state(row: number): number {
    return this.#states[row] ?? CODE.unwanted;
  }

  isFree(row: number): boolean {
    return this.#states[row] === CODE.free;
  }

  isAsked(row: number): boolean {
    return this.#states[row] === CODE.asked;
  }

  /** True while the row is neither held nor unwanted. */
  isMissing(row: number): boolean {
    const state = this.#states[row];
    return state !== undefined && state < CODE.held;
  }

  /** Free rows of a span. */
  freeIn(span: number): number {
    return this.#free[span] ?? 0;
  }

  /** Moves the rows of a run from one state to another; rows in other states stay. Returns how many moved. */
  move(run: Run, from: RowState, to: RowState): number {
    let moved = 0;
    for (let row = run.first; row < run.first + run.count; row++) {
      if (this.#states[row] !== CODE[from]) continue;
      this.#set(row, CODE[to]);
      moved += 1;
    }
    return moved;
  }

  /** Rows are held now, whatever was being done about them. Returns those that were not held before. */
  hold(run: Run): Run[] {
    const fresh: Run[] = [];
    let start = -1;
    const end = Math.min(run.first + run.count, this.#states.length);
    for (let row = run.first; row <= end; row++) {
      const isNew = row < end && this.#have.add(row);
      if (isNew) this.#set(row, CODE.held);
      if (isNew && start < 0) start = row;
      if (!isNew && start >= 0) {
        fresh.push({ first: start, count: row - start });
        start = -1;
      }
    }
    return fresh;
  }

  /** True if `length` bytes from `row` on are whole rows that are held. */
  holds(row: number, length: number): boolean {
    let left = length;
    for (let at = row; left > 0; at++) {
      const bytes = this.grid.rowBytes(at);
      if (bytes === 0 || !this.#have.has(at)) return false;
      left -= bytes;
    }
    return left === 0 && length > 0;
  }

  /** Held rows turned out bad: wanted again. */
  lose(run: Run): void {
    for (let row = run.first; row < run.first + run.count; row++)
      if (this.#have.delete(row)) this.#set(row, CODE.free);
  }

  /** The first run of free rows in `within` for which `accept` holds, at most `maxBytes` (but at least one row). */
  firstFree(within: Run, maxBytes: number, accept: (row: number) => boolean): Run | undefined {
    const end = within.first + within.count;
    let first = within.first;
    while (first < end && !(this.isFree(first) && accept(first))) first += 1;
    if (first === end) return undefined;
    let [count, bytes] = [1, this.grid.rowBytes(first)];
    for (let row = first + 1; row < end && this.isFree(row) && accept(row); row++) {
      bytes += this.grid.rowBytes(row);
      if (bytes > maxBytes) break;
      count += 1;
    }
    return { first, count };
  }

  #want(first: number, count: number): void {
    for (let row = first; row < first + count; row++) if (!this.#have.has(row)) this.#states[row] = CODE.free;
    for (const run of this.#have.runs(true, first, count)) this.#fill(run, CODE.held);
  }

  #fill(run: Run, code: number): void {
    this.#states.fill(code, run.first, run.first + run.count);
  }

  #set(row: number, code: number): void {
    const old = this.#states[row] ?? CODE.unwanted;
    if (old === code) return;
    this.#states[row] = code;
    this.#missing += Number(code < CODE.held) - Number(old < CODE.held);
    this.#asked += Number(code === CODE.asked) - Number(old === CODE.asked);
    if (row >= this.grid.knownRows || (old !== CODE.free && code !== CODE.free)) return;
    const span = this.grid.spanOf(row);
    this.#free[span] = (this.#free[span] ?? 0) + Number(code === CODE.free) - Number(old === CODE.free);
  }

  #recount(): void {
    this.#missing = 0;
    this.#asked = 0;
    this.#free = new Uint32Array(this.grid.count);
    for (let span = 0; span < this.grid.count; span++) {
      const { first, count } = this.grid.rowsOf(span);
      for (let row = first; row < first + count; row++) {
        const state = this.#states[row] ?? CODE.unwanted;
        if (state < CODE.held) this.#missing += 1;
        if (state === CODE.asked) this.#asked += 1;
        if (state === CODE.free) this.#free[span] = (this.#free[span] ?? 0) + 1;
      }
    }
  }
}
