import type { FileHandle } from "node:fs/promises";
import type { Run } from "@ckmesh/core";
import type { FrameTable } from "@ckmesh/image";
import { BufferPool, sharedBytes } from "../files/buffer-pool.js";
import type { PackSetup } from "../image-tasks.js";
import { packFacts } from "../pack/pack-file.js";
import { runInLanes, TASKS_PER_LANE } from "../task-lanes.js";
import type { DecodedSetup } from "../versions/decoded-frames.js";
import type { ImageRows } from "../versions/image-rows.js";
import type { RowFiles } from "../versions/row-files.js";
import type { DeltaFiles } from "./delta-files.js";
import { type AppliedFrames, DELTA_FRAMES_PER_TASK, DELTA_TASK_BYTES } from "./delta-tasks.js";
import { DeltaThreads } from "./delta-threads.js";

export interface DeltaRebuildOptions {
  /** Its whole index is held. */
  readonly delta: DeltaFiles;
  /** The version that it starts from. */
  readonly base: ImageRows;
  /** The version that it leads to; its frame table is known. */
  readonly target: ImageRows;
  /** Frames that this machine cannot pack as the target's publisher did are kept decoded, for its disk. */
  readonly keepsDecoded?: boolean;
  /** By default as many as there are cores, at most 4. */
  readonly threads?: number;
}

/** What came of frames of a delta; those that are in none of these were held before, or not in the delta yet. */
export interface RebuiltFrames {
  /** Rows of the target that were stored. */
  readonly stored: readonly Run[];
  /** Rows of the target of which the decoded frame was stored: they are not held, and the disk can do without. */
  readonly decoded: readonly Run[];
  /**
   * Frames of the delta that are what its index says, and yield something else than the target has: then the
   * delta is worth nothing.
   */
  readonly badDelta: readonly number[];
  /** Frames of the delta for which the base lacks a frame, or has a damaged one. */
  readonly badBase: readonly number[];
  /** Rows of base and delta that were damaged on the disk: `recheck` drops them, then they can come again. */
  readonly damaged: { readonly base: readonly Run[]; readonly delta: readonly Run[] };
}

/**
 * Makes frames of a version out of those of a delta and of an older version, on worker threads, while the delta
 * comes. Its own files on base and delta are open until `close`.
 */
export class DeltaRebuild {
  /** Frames of the delta. */
  readonly frames: number;
  readonly #options: DeltaRebuildOptions;
  readonly #threads: DeltaThreads;
  readonly #packs: readonly FileHandle[];
  /** For packed frames on their way from the threads to the disk. */
  readonly #buffers: BufferPool<Uint8Array>;

  private constructor(options: DeltaRebuildOptions, threads: DeltaThreads, packs: readonly FileHandle[]) {
    this.#options = options;
    this.#threads = threads;
    this.#packs = packs;
    this.#buffers = new BufferPool(threads.count * TASKS_PER_LANE, () => sharedBytes(DELTA_TASK_BYTES));
    this.frames = threads.refs.count;
  }

  /** @throws {AppError} ERR_INDEX_INVALID when the delta does not fit the versions, or its index is damaged */
  static async open(options: DeltaRebuildOptions): Promise<DeltaRebuild> {
    const { delta, base, target } = options;
    const refs = await delta.section("refs");
    const packs: FileHandle[] = [];
    try {
      for (const files of [delta, base]) packs.push(await files.openPack());
      const [deltaPack, basePack] = packs;
      const decoded = await base.openDecoded();
      if (decoded !== undefined) packs.push(decoded.handle);
      const threads = new DeltaThreads(
        {
          delta: { signed: delta.signed, ...setupOf(delta, deltaPack) },
          base: { signed: base.signed, ...withDecoded(setupOf(base, basePack), decoded?.setup) },
          refs,
          target: { signed: target.signed, frames: framesOf(target) },
          isBackground: true,
        },
        options.threads,
      );
      return new DeltaRebuild(options, threads, packs);
    } catch (err) {
      await Promise.all(packs.map(async (pack) => await pack.close()));
      throw err;
    }
  }

  /** How many batches of 16 frames are worked on at once. */
  get threads(): number {
    return this.#threads.count;
  }

  /** The row of the target that frame `k` of the delta yields. Rises with `k`. */
  targetRow(k: number): number {
    return this.#options.target.table.layout.pieceRows + this.#threads.refs.targetFrame(k);
  }

  /**
   * Frame `k` can be applied here, as soon as it is held: what it yields is of use, and the base holds the frames
   * that it needs. The latter changes when frames of the base turn out damaged, or come again.
   */
  canRebuild(k: number): boolean {
    return this.#isOfUse(k) && this.#baseHolds(k);
  }

  /** This machine packs what frame `k` of the delta yields as the target's publisher did. */
  canPack(k: number): boolean {
    return this.#threads.canPack(k);
  }

  /**
   * Applies frames of the delta and stores what they yield in the target, with source `delta`. More than 16 are
   * shared out to the threads. What is held already, or is of no use here, is left out.
   * @throws {AppError} ERR_STORE_FULL; what was stored before stays, see `have` of the target; ERR_STORE_CORRUPT,
   *   ERR_ABORTED, ERR_INTERNAL
   */
  async apply(ks: Uint32Array): Promise<RebuiltFrames> {
    const outcome = new Outcome(this.#options);
    const wanted: number[] = [];
    for (const k of ks.toSorted()) {
      if (!this.#isWanted(k)) continue;
      if (this.#baseHolds(k)) wanted.push(k);
      else outcome.badBase.push(k);
    }
    const batch = (i: number): Uint32Array =>
      Uint32Array.from(wanted.slice(i * DELTA_FRAMES_PER_TASK, (i + 1) * DELTA_FRAMES_PER_TASK));
    await runInLanes(
      Math.ceil(wanted.length / DELTA_FRAMES_PER_TASK),
      this.#threads.count,
      async (i, lane) => {
        const frames = batch(i);
        const packed = await this.#buffers.take();
        try {
          const applied = await this.#threads.apply({ frames, packed }, lane);
          outcome.addFailures(applied);
          await this.#store(frames, packed, applied, outcome);
        } finally {
          this.#buffers.give(packed);
        }
      },
    );
    return outcome;
  }

  /** Ends the threads at once; safe to call twice. `apply` is then rejected with ERR_ABORTED. */
  async close(): Promise<void> {
    await this.#threads.close();
    await Promise.all(this.#packs.map(async (pack) => await pack.close()));
  }

  #isWanted(k: number): boolean {
    const { delta, target } = this.#options;
    return (
      k < this.frames &&
      delta.have.has(delta.table.layout.pieceRows + k) &&
      !target.have.has(this.targetRow(k)) &&
      !target.hasDecoded(this.targetRow(k)) &&
      this.#isOfUse(k)
    );
  }

  #isOfUse(k: number): boolean {
    return this.#options.keepsDecoded === true || this.canPack(k);
  }

  #baseHolds(k: number): boolean {
    const { base } = this.#options;
    const { pieceRows } = base.table.layout;
    const frames = framesOf(base);
    return this.#threads.refs.runs(k).every(({ first, count }) => {
      const frame = frames.frameOf(first);
      return base.hasFrames({
        first: pieceRows + frame,
        count: frames.frameOf(first + count - 1) - frame + 1,
      });
    });
  }

  /** Stores what is still missing, neighbours at once. */
  async #store(
    ks: Uint32Array,
    packed: Uint8Array,
    { lengths, decoded }: AppliedFrames,
    outcome: Outcome,
  ): Promise<void> {
    const { target } = this.#options;
    for (const { k, raw } of decoded) {
      await target.writeDecoded(this.targetRow(k), raw);
      addRun(outcome.decoded, { first: this.targetRow(k), count: 1 });
    }
    let at = 0;
    let run = { first: 0, count: 0, start: 0 };
    const flush = async (): Promise<void> => {
      const { first, count, start } = run;
      run = { first: 0, count: 0, start: at };
      if (count === 0) return;
      await target.write({ first, count }, packed.subarray(start, at), "delta");
      addRun(outcome.stored, { first, count });
    };
    for (const [i, k] of ks.entries()) {
      const length = lengths[i] ?? 0;
      const row = this.targetRow(k);
      const isWanted = length > 0 && !target.have.has(row);
      if (!isWanted || row !== run.first + run.count) await flush();
      if (isWanted)
        run = run.count === 0 ? { first: row, count: 1, start: at } : { ...run, count: run.count + 1 };
      at += length;
    }
    await flush();
  }
}

/** Collects what comes of batches. */
class Outcome implements RebuiltFrames {
  readonly stored: Run[] = [];
  readonly decoded: Run[] = [];
  readonly badDelta: number[] = [];
  readonly badBase: number[] = [];
  readonly damaged: { readonly base: Run[]; readonly delta: Run[] } = { base: [], delta: [] };
  readonly #options: DeltaRebuildOptions;

  constructor(options: DeltaRebuildOptions) {
    this.#options = options;
  }

  addFailures({ failures }: AppliedFrames): void {
    const { delta, base } = this.#options;
    for (const { reason, k, frame } of failures) {
      switch (reason) {
        case "misfit":
          this.badDelta.push(k);
          break;
        case "base-damaged":
          this.badBase.push(k);
          addRun(this.damaged.base, { first: base.table.layout.pieceRows + frame, count: 1 });
          break;
        case "delta-damaged":
          addRun(this.damaged.delta, { first: delta.table.layout.pieceRows + frame, count: 1 });
          break;
      }
    }
  }
}

/** Adds a run, to the last one where it follows it; one that was added last is not added again. */
function addRun(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  if (last === undefined || run.first > last.first + last.count || run.first < last.first) runs.push(run);
  else
    runs[runs.length - 1] = {
      first: last.first,
      count: Math.max(last.count, run.first + run.count - last.first),
    };
}

function framesOf({ frames }: RowFiles): FrameTable {
  if (frames === undefined)
    throw new Error("unreachable: a delta is applied before the frame tables are known");
  return frames;
}

function withDecoded<T extends { readonly setup: PackSetup }>(pack: T, decoded: DecodedSetup | undefined): T {
  return decoded === undefined ? pack : { ...pack, setup: { ...pack.setup, decoded } };
}

/** A pack as the threads open it. Raw hashes of its frames are not checked: those of the target prove all. */
function setupOf(
  files: RowFiles,
  pack: FileHandle | undefined,
): { readonly frames: FrameTable; readonly setup: PackSetup } {
  const frames = framesOf(files);
  if (pack === undefined) throw new Error("unreachable: no pack");
  return {
    frames,
    setup: { fd: pack.fd, head: packFacts(files.signed.head), frames: frames.share() },
  };
}
