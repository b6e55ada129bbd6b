import type { Bitfield, Run } from "@ckmesh/core";
import { type DeltaFiles, DeltaRebuild, type ImageRows, type RebuiltFrames } from "@ckmesh/store";
import { DeltaApply } from "./delta-apply.js";

export interface DeltaYieldOptions {
  /** Its whole index is held. */
  readonly delta: DeltaFiles;
  readonly base: ImageRows;
  /** Its frame table is known. */
  readonly target: ImageRows;
  /** Rows of the target that are wanted; undefined: all. */
  readonly wanted?: Bitfield;
  /** As for `DeltaRebuild`. */
  readonly keepsDecoded: boolean;
  /** What came of frames `ks` of the delta. */
  readonly onApplied: (ks: Uint32Array, result: RebuiltFrames) => void;
  readonly onError: (err: unknown) => void;
}

/** Which rows of a version the frames of a delta yield, and the making of them. */
export class DeltaYield {
  readonly #options: DeltaYieldOptions;
  readonly #rebuild: DeltaRebuild;
  readonly #apply: DeltaApply;
  /** Row of the target by frame of the delta: rising. */
  readonly #rows: Uint32Array;

  private constructor(options: DeltaYieldOptions, rebuild: DeltaRebuild) {
    this.#options = options;
    this.#rebuild = rebuild;
    this.#apply = new DeltaApply({ ...options, rebuild });
    this.#rows = Uint32Array.from({ length: rebuild.frames }, (_, k) => rebuild.targetRow(k));
  }

  /** @throws {AppError} ERR_INDEX_INVALID when the delta does not fit the versions */
  static async open(options: DeltaYieldOptions): Promise<DeltaYield> {
    return new DeltaYield(options, await DeltaRebuild.open(options));
  }

  get frames(): number {
    return this.#rows.length;
  }

  /** These rows of the delta are held: what they yield is made. */
  came(deltaRuns: readonly Run[]): void {
    this.#apply.add(this.#framesOf(deltaRuns));
  }

  /** Frames of the delta that yield something here that is missing. */
  *useful(): Generator<number> {
    for (const [k, row] of this.#rows.entries())
      if (this.#isWanted(row) && this.#rebuild.canRebuild(k)) yield k;
  }

  /** What frame `k` of the delta yields can be packed here. */
  canPack(k: number): boolean {
    return this.#rebuild.canPack(k);
  }

  /** The row of the target that a row of the delta yields; undefined for pieces of its index. */
  targetRow(deltaRow: number): number | undefined {
    return this.#rows[deltaRow - this.#options.delta.table.layout.pieceRows];
  }

  /** Rows of the target that frames of the delta yield. */
  targetRuns(ks: Iterable<number>): readonly Run[] {
    return joined(ks, (k) => this.#rows[k] ?? 0);
  }

  /** The same by rows of the delta. */
  targetRunsOf(deltaRuns: readonly Run[]): readonly Run[] {
    return this.targetRuns(this.#framesOf(deltaRuns));
  }

  /** Rows of the delta that yield rows of the target. */
  deltaRuns(targetRuns: readonly Run[]): readonly Run[] {
    const { pieceRows } = this.#options.delta.table.layout;
    const ks: number[] = [];
    for (const { first, count } of targetRuns)
      for (let k = this.#firstFrom(first); (this.#rows[k] ?? Infinity) < first + count; k++) ks.push(k);
    return joined(ks, (k) => pieceRows + k);
  }

  /** Ends when what is under way has. */
  async close(): Promise<void> {
    await this.#apply.close();
    await this.#rebuild.close();
  }

  #isWanted(row: number): boolean {
    const { target, wanted } = this.#options;
    return wanted?.has(row) !== false && !target.hasFrames({ first: row, count: 1 });
  }

  #framesOf(deltaRuns: readonly Run[]): number[] {
    const { pieceRows } = this.#options.delta.table.layout;
    const ks: number[] = [];
    for (const { first, count } of deltaRuns)
      for (let row = Math.max(first, pieceRows); row < first + count; row++) ks.push(row - pieceRows);
    return ks;
  }

  /** The first frame of the delta that yields a row of the target from `row` on. */
  #firstFrom(row: number): number {
    let [low, high] = [0, this.#rows.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#rows[middle] ?? 0) < row) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Adjacent rows as runs. */
function joined(ks: Iterable<number>, rowOf: (k: number) => number): readonly Run[] {
  const runs: { first: number; count: number }[] = [];
  for (const k of ks) {
    const row = rowOf(k);
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === row) last.count += 1;
    else runs.push({ first: row, count: 1 });
  }
  return runs;
}
