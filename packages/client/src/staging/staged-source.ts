import { Bitfield, type Clock, type Logger, MIB, type Run, rowBlocks } from "@ckmesh/core";
import type { IoPacer, VersionFiles } from "@ckmesh/store";
import type { LocalPlanner } from "../local/combine-plans.js";
import type { LocalPlan } from "../local/local-plan.js";
import { RowAssembler } from "../rows/row-assembler.js";
import { FolderFile } from "./folder-file.js";
import type { StagedPair } from "./staged-pair.js";

/** Longest single read. */
const READ_BYTES = MIB;

export interface StagedSourceOptions {
  readonly pair: StagedPair;
  /** Of the same version id. */
  readonly files: VersionFiles;
  readonly io: IoPacer | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A pair outside of the store as a source of rows of its version: what is right in it is stored, anything else is
 * left to other sources. Neither a damaged file nor one that changes or goes away meanwhile does harm.
 */
export class StagedSource {
  readonly pair: StagedPair;
  readonly #files: VersionFiles;
  readonly #io: IoPacer | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #isBusy = true;
  #damaged = 0;

  constructor({ pair, files, io, clock, logger }: StagedSourceOptions) {
    this.pair = pair;
    this.#files = files;
    this.#io = io;
    this.#clock = clock;
    this.#logger = logger.child({ pack: pair.packPath });
  }

  /** More may come from it. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /**
   * Stores the pieces of the index that are right; frames follow by `plan`, once the frame table is known.
   * @throws {AppError} as `VersionFiles.write`
   */
  async takeIndex(): Promise<void> {
    const { layout } = this.#files.table;
    await this.#use(this.pair.indexPath, async (file) => {
      // The hashes come first: the others are known by them.
      for (let row = 0; row < layout.pieceRows && !file.isGone; row++)
        await this.#take(file, { first: row, count: 1 });
    });
    this.#logger.info({ damaged: this.#damaged }, "index taken from a folder");
    this.#isBusy = this.#files.frames !== undefined;
  }

  /** Frames that the pack is long enough for. */
  readonly plan: LocalPlanner = async (missing) => {
    const rows = new Bitfield(missing.length);
    let size = 0;
    await this.#use(this.pair.packPath, async (file) => {
      size = await file.size();
    });
    const end = this.#rowsWithin(size);
    for (const { first, count } of missing.runs()) {
      if (first < end) rows.addRun({ first, count: Math.min(count, end - first) });
    }
    this.#isBusy = rows.count > 0;
    return { rows, copy: (signal, onStored) => this.#copy(rows, signal, onStored) };
  };

  async #copy(
    rows: Bitfield,
    signal: AbortSignal,
    onStored: Parameters<LocalPlan["copy"]>[1],
  ): Promise<void> {
    let taken = 0;
    try {
      await this.#use(this.pair.packPath, async (file) => {
        for (const planned of rows.runs()) {
          for (const run of this.#files.table.chunks(planned, READ_BYTES)) {
            // Read there, and written here.
            await this.#io?.admit(2 * this.#files.table.locate(run).length, signal);
            if (signal.aborted || file.isGone) return;
            const stored = await this.#take(file, run);
            if (stored.length > 0) onStored(stored);
            for (const { count } of stored) taken += count;
          }
        }
      });
    } finally {
      this.#isBusy = false;
    }
    this.#logger.info({ frames: taken, damaged: this.#damaged }, "frames taken from a folder");
  }

  /** The first row whose frame ends behind `size` bytes of the pack; frames lie in the order of their rows. */
  #rowsWithin(size: number): number {
    const { table } = this.#files;
    let [low, high] = [table.layout.pieceRows, table.layout.rows];
    while (low < high) {
      const row = Math.floor((low + high) / 2);
      const { offset, length } = table.locate({ first: row, count: 1 });
      if (offset + length <= size) low = row + 1;
      else high = row;
    }
    return low;
  }

  async #use(path: string, use: (file: FolderFile) => Promise<void>): Promise<void> {
    await FolderFile.use(path, { clock: this.#clock, logger: this.#logger }, use);
  }

  /** @returns the rows stored. @throws {AppError} as `VersionFiles.write` */
  async #take(file: FolderFile, run: Run): Promise<readonly Run[]> {
    const { table, have } = this.#files;
    if (have.hasAll(run.first, run.count)) return [];
    const { offset, length } = table.locate(run);
    const bytes = await file.read(length, offset);
    if (bytes === undefined) return await this.#takeEach(file, run);
    try {
      const { good, bad } = new RowAssembler(table, run).push(bytes);
      for (const part of good) await this.#files.write(part.run, part.bytes, "host");
      for (const part of bad) this.#damaged += part.run.count;
      return good.map((part) => part.run);
    } finally {
      rowBlocks.give(bytes);
    }
  }

  /** One place that cannot be read costs no other row. */
  async #takeEach(file: FolderFile, run: Run): Promise<readonly Run[]> {
    if (run.count === 1) this.#damaged += 1;
    if (run.count === 1 || file.isGone) return [];
    const stored: Run[] = [];
    for (let row = run.first; row < run.first + run.count && !file.isGone; row++)
      stored.push(...(await this.#take(file, { first: row, count: 1 })));
    return stored;
  }
}
