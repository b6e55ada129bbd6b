import { type FileHandle, open } from "node:fs/promises";
import { Bitfield, type Clock, describeError, type Logger, MIB, type Run, rowBlocks } from "@ckmesh/core";
import type { IoPacer, VersionFiles } from "@ckmesh/store";
import type { LocalPlanner } from "../local/combine-plans.js";
import type { LocalPlan } from "../local/local-plan.js";
import { RowAssembler } from "../rows/row-assembler.js";
import type { StagedPair } from "./staged-pair.js";
import { within } from "./within.js";

/** Longest single read. */
const READ_BYTES = MIB;
/** Rows that could not be read, one after the other: the disk was taken away. */
const MAX_UNREAD = 64;
/** A read of a folder that does not answer for this long: the disk, or the share, is gone. */
const ANSWER_MS = 30_000;

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
  #unread = 0;
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
    await this.#read(this.pair.indexPath, async (file) => {
      // The hashes come first: the others are known by them.
      for (let row = 0; row < layout.pieceRows && !this.#isGone; row++)
        await this.#take(file, { first: row, count: 1 });
    });
    this.#logger.info({ damaged: this.#damaged }, "index taken from a folder");
    this.#isBusy = this.#files.frames !== undefined;
  }

  /** Frames that the pack is long enough for. */
  readonly plan: LocalPlanner = async (missing) => {
    const rows = new Bitfield(missing.length);
    let size = 0;
    await this.#read(this.pair.packPath, async (file) => {
      size = (await within(this.#clock, ANSWER_MS, file.stat()))?.size ?? 0;
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
      await this.#read(this.pair.packPath, async (file) => {
        for (const planned of rows.runs()) {
          for (const run of this.#files.table.chunks(planned, READ_BYTES)) {
            // Read there, and written here.
            await this.#io?.admit(2 * this.#files.table.locate(run).length, signal);
            if (signal.aborted || this.#isGone) return;
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

  get #isGone(): boolean {
    return this.#unread >= MAX_UNREAD;
  }

  /** @returns the rows stored. @throws {AppError} as `VersionFiles.write` */
  async #take(file: FileHandle, run: Run): Promise<readonly Run[]> {
    const { table, have } = this.#files;
    if (have.hasAll(run.first, run.count)) return [];
    const { offset, length } = table.locate(run);
    const bytes = rowBlocks.take(length);
    let isFree = true;
    try {
      const isFilled = await within(this.#clock, ANSWER_MS, this.#fill(file, bytes, offset));
      isFree = isFilled !== undefined; // else it may be written to any time
      if (isFilled === undefined) this.#unread = MAX_UNREAD;
      if (isFilled !== true) return await this.#takeEach(file, run);
      const { good, bad } = new RowAssembler(table, run).push(bytes);
      for (const part of good) await this.#files.write(part.run, part.bytes, "host");
      for (const part of bad) this.#damaged += part.run.count;
      return good.map((part) => part.run);
    } finally {
      if (isFree) rowBlocks.give(bytes);
    }
  }

  /** One place that cannot be read costs no other row. */
  async #takeEach(file: FileHandle, run: Run): Promise<readonly Run[]> {
    if (this.#isGone) return [];
    if (run.count === 1) {
      this.#unread += 1;
      this.#damaged += 1;
      return [];
    }
    const stored: Run[] = [];
    for (let row = run.first; row < run.first + run.count && !this.#isGone; row++)
      stored.push(...(await this.#take(file, { first: row, count: 1 })));
    return stored;
  }

  /** False when there are not so many bytes, or they cannot be read. */
  async #fill(file: FileHandle, bytes: Uint8Array, offset: number): Promise<boolean> {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesRead } = await file.read(bytes, done, bytes.byteLength - done, offset + done);
        if (bytesRead === 0) return false;
        done += bytesRead;
      }
    } catch (err) {
      this.#logger.debug({ reason: describeError(err), offset }, "folder not read");
      return false;
    }
    this.#unread = 0;
    return true;
  }

  /** Does nothing where the file cannot be opened: it was there when the pair was found. */
  async #read(path: string, use: (file: FileHandle) => Promise<void>): Promise<void> {
    let file: FileHandle | undefined;
    try {
      file = await within(this.#clock, ANSWER_MS, open(path, "r"));
    } catch (err) {
      this.#logger.warn({ reason: describeError(err) }, "nothing taken from a folder");
      return;
    }
    if (file === undefined) {
      this.#logger.warn({}, "nothing taken from a folder: it does not answer");
      return;
    }
    try {
      await use(file);
    } finally {
      await within(this.#clock, ANSWER_MS, file.close());
    }
  }
}
