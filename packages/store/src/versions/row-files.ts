import { type FileHandle, readFile } from "node:fs/promises";
import {
  AppError,
  Bitfield,
  type Clock,
  describeError,
  isAppError,
  type Logger,
  MIB,
  type Run,
  rowBlocks,
} from "@ckmesh/core";
import type { FrameTable, SectionKind, SignedHead } from "@ckmesh/image";
import { ByteGate } from "../files/byte-gate.js";
import { fileErrorCode } from "../files/store-error.js";
import { FilePair } from "../pairs/file-pair.js";
import { Checkpoint } from "./checkpoint.js";
import { decodeHaveMap } from "./have-map.js";
import { HeldRows } from "./held-rows.js";
import { type RowSource, type SourceBytes, sourceCode } from "./row-source.js";
import { type RowsHead, RowTable } from "./row-table.js";
import { SourceNotes } from "./source-notes.js";
import type { VersionPaths } from "./store-layout.js";

/** Most bytes of row writes in flight per version. */
const WRITE_WINDOW_BYTES = 8 * MIB;
/** Rows are read back and hashed in runs of this size. */
const SCAN_BYTES = MIB;
/** A pack that takes no more than this on the disk has no frame yet: its header, and what rounds it up. */
const EMPTY_PACK_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(SCAN_BYTES);

export interface RowFilesOptions<H extends RowsHead> {
  readonly signed: SignedHead<H>;
  /** The first 4096 bytes of the index, as the origin sent them. */
  readonly headBlock: Uint8Array;
  readonly paths: VersionPaths;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The rows of one version, or of one delta, in its two files: `.partial` at final offsets while they come in.
 */
export abstract class RowFiles<H extends RowsHead = RowsHead> {
  readonly signed: SignedHead<H>;
  readonly table: RowTable<H>;
  readonly paths: VersionPaths;
  protected readonly logger: Logger;
  protected readonly pair: FilePair;
  protected readonly held: HeldRows;
  protected readonly saved: Checkpoint;
  protected notes: SourceNotes | undefined;
  readonly #options: RowFilesOptions<H>;
  readonly #writes = new ByteGate(WRITE_WINDOW_BYTES);
  /** After a crash: takes the frames that lie here, once it is known where they are. */
  #keepFrames: (() => Promise<void>) | undefined;
  #learning: Promise<void> = Promise.resolve();

  protected constructor(options: RowFilesOptions<H>) {
    const { signed, paths, clock, logger } = options;
    this.#options = options;
    this.signed = signed;
    this.paths = paths;
    this.logger = logger;
    this.table = new RowTable(signed.head);
    this.pair = new FilePair(signed, paths);
    this.held = new HeldRows(this.table.layout.rows, (row) => this.table.length(row));
    this.saved = new Checkpoint({
      path: paths.have,
      versionId: signed.id,
      clock,
      logger,
      have: () => this.held.have.clone(),
      sync: async () => {
        await this.notes?.flush();
        await this.pair.sync();
      },
    });
  }

  /** Rows held, each with a right hash when it was stored. Live: changes as rows come; do not change it. */
  get have(): Bitfield {
    return this.held.have;
  }

  get frames(): FrameTable | undefined {
    return this.table.frames;
  }

  /** Bytes of the rows held, by how they came: each row counts once. */
  get bytes(): SourceBytes {
    return this.held.bytes;
  }

  /**
   * Bytes of a run of held rows of one file. Not hashed again: the receiver does, and says so (`bad-rows`). They
   * are of `rowBlocks`, which whoever is done with them may give them back to.
   * @throws {AppError} ERR_STORE_CORRUPT
   */
  async read(run: Run): Promise<Uint8Array> {
    const { file, offset, length } = this.table.locate(run);
    const bytes = rowBlocks.take(length);
    await this.pair.file(file).readInto(bytes, offset);
    return bytes;
  }

  /** Bytes of the pack wherever they lie, held or not: for frames that another version has too. Of `rowBlocks`. */
  async readPack(offset: number, length: number): Promise<Uint8Array> {
    const bytes = rowBlocks.take(length);
    await this.pair.file("pack").readInto(bytes, offset);
    return bytes;
  }

  /**
   * A section of the index, proven again, in memory of just its size; empty when the index has none of that kind.
   * @throws {AppError} ERR_INDEX_INVALID when not all of it is held, or it was damaged on the disk
   */
  async section(kind: SectionKind): Promise<Uint8Array> {
    const run = this.table.layout.section(kind);
    if (run === undefined) return new Uint8Array(0);
    const bytes = await this.readKept(run);
    let at = 0;
    for (let row = run.first; row < run.first + run.count; row++) {
      const length = this.table.length(row);
      if (!this.have.has(row) || this.table.check(row, bytes.subarray(at, at + length)) !== "good") {
        throw new AppError("ERR_INDEX_INVALID", `section ${kind} of ${this.paths.index} is not whole`);
      }
      at += length;
    }
    return bytes;
  }

  /** The pack, open once more for reading: stays readable whatever name the file gets. The caller closes it. */
  async openPack(): Promise<FileHandle> {
    return await this.pair.openPack();
  }

  /**
   * Stores a run of rows of one file whose hashes the caller has just checked. When it returns they are on
   * offer; a crash of the process keeps them.
   * @throws {AppError} ERR_STORE_FULL; ERR_INDEX_INVALID when a complete section turns out senseless
   */
  async write(run: Run, bytes: Uint8Array, source: RowSource): Promise<void> {
    const { file, offset, length } = this.table.locate(run);
    if (length !== bytes.byteLength) throw new Error(`unreachable: ${bytes.byteLength} bytes for ${length}`);
    if (this.have.hasAll(run.first, run.count)) return;
    await this.#writes.run(length, () => this.pair.file(file).write(offset, bytes));
    this.notes?.set(run.first, run.count, sourceCode(source));
    for (let row = run.first; row < run.first + run.count; row++) this.held.take(row, sourceCode(source));
    this.saved.wrote(length);
    if (this.table.frames === undefined) await this.#learn();
    else this.rowsCame();
  }

  /**
   * Hashes held rows again, as a peer said that they are wrong, and drops those that are.
   * @returns the rows dropped
   */
  async recheck(runs: readonly Run[]): Promise<readonly Run[]> {
    const lost = new Bitfield(this.have.length);
    for (const run of runs) {
      for (const held of this.have.runs(true, run.first, run.count)) {
        await this.scan(held, (row, isGood) => {
          if (!isGood) lost.add(row);
        });
      }
    }
    if (lost.count === 0) return [];
    for (const { first, count } of lost.runs()) {
      for (let row = first; row < first + count; row++) this.held.drop(row);
    }
    this.logger.warn({ file: this.paths.pack, rows: lost.count }, "damaged rows dropped");
    await this.rowsLost(lost);
    await this.saved.save();
    return [...lost.runs()];
  }

  /** Writes the checkpoint now. */
  async checkpoint(): Promise<void> {
    await this.saved.save();
  }

  /** Ends with a last checkpoint; safe to call twice. */
  async close(): Promise<void> {
    await this.saved.close();
    const { notes } = this;
    this.notes = undefined;
    await this.pair.close();
    await notes?.close();
  }

  /** Rows were stored, and the frame table is known. */
  protected rowsCame(): void {}

  /** Rows were dropped. */
  protected async rowsLost(_lost: Bitfield): Promise<void> {}

  /** Opens the files where they were left, partial, with every right row that lies on the disk. */
  protected async openPartial(): Promise<void> {
    const found = await this.pair.openPartial(this.#options.headBlock, this.table.packHeaderLength);
    this.notes = await this.openNotes();
    if (found === "none") await this.#learn();
    // What was cut is not what the checkpoint speaks of.
    else await this.#resume(found === "whole" ? await this.#loadCheckpoint() : this.have.clone());
    this.saved.start();
  }

  protected async openNotes(): Promise<SourceNotes> {
    return await SourceNotes.open(
      this.paths.sources,
      this.table.layout.rows,
      this.#options.clock,
      this.logger,
    );
  }

  /** As `read`, but in memory of just that size: the table keeps it. */
  protected async readKept(run: Run): Promise<Uint8Array> {
    if (run.count === 0) return new Uint8Array(0);
    const { file, offset, length } = this.table.locate(run);
    return await this.pair.file(file).read(offset, length);
  }

  /** Hashes the known rows of a run where they lie. Holes (all zero) are not worth a hash. */
  protected async scan(run: Run, result: (row: number, isGood: boolean) => void): Promise<void> {
    const known = { first: run.first, count: Math.min(run.count, this.table.knownRows - run.first) };
    if (known.count <= 0) return;
    for (const part of this.table.chunks(known, SCAN_BYTES)) {
      let bytes: Uint8Array;
      try {
        bytes = await this.read(part);
      } catch (err) {
        if (!isAppError(err, "ERR_STORE_CORRUPT")) throw err;
        // A file that was cut, or a bad spot of the disk: what cannot be read is not held.
        if (part.count === 1) result(part.first, false);
        else
          for (let i = 0; i < part.count; i++) await this.scan({ first: part.first + i, count: 1 }, result);
        continue;
      }
      const isHole =
        bytes.byteLength <= SCAN_BYTES && Buffer.compare(bytes, ZEROS.subarray(0, bytes.byteLength)) === 0;
      let at = 0;
      for (let row = part.first; row < part.first + part.count; row++) {
        const length = this.table.length(row);
        result(row, !isHole && this.table.check(row, bytes.subarray(at, at + length)) === "good");
        at += length;
      }
      rowBlocks.give(bytes);
    }
  }

  /** Takes the frames that were saved as given, and hashes every other row where it lies. */
  async #resume(saved: Bitfield): Promise<void> {
    const codeOf = (row: number): number => this.notes?.code(row) ?? 0;
    const keep = (run: Run): Promise<void> =>
      this.scan(run, (row, isGood) => {
        if (isGood) this.held.take(row, codeOf(row));
      });
    const { pieceRows, frameRows } = this.table.layout;
    this.#keepFrames = async () => {
      for (const held of saved.runs(true, pieceRows, frameRows)) {
        for (let row = held.first; row < held.first + held.count; row++) this.held.take(row, codeOf(row));
      }
      if ((await this.pair.packBytesOnDisk()) <= EMPTY_PACK_BYTES) return;
      for (const other of saved.runs(false, pieceRows, frameRows)) await keep(other);
    };
    // Pieces are few, and all else hangs on them: never from the checkpoint. The hashes come first.
    const hashes = this.table.layout.section("hashes");
    if (hashes !== undefined) await keep(hashes);
    await this.#learn();
    await keep({ first: 0, count: pieceRows });
    await this.#learn();
  }

  async #loadCheckpoint(): Promise<Bitfield> {
    const { rows } = this.table.layout;
    try {
      return decodeHaveMap(await readFile(this.paths.have), this.signed.id, rows);
    } catch (err) {
      if (!isAppError(err, "ERR_STORE_CORRUPT") && fileErrorCode(err) !== "ENOENT") throw err;
      this.logger.info({ file: this.paths.have, reason: describeError(err) }, "no usable checkpoint");
      return new Bitfield(rows);
    }
  }

  /** Reads the sections that say more about the others, as soon as all their rows are held; they may have none. */
  async #learn(): Promise<void> {
    const step = this.#learnAfter(this.#learning);
    // The next learner waits for this one, and does not fail with it.
    this.#learning = step.catch(() => {});
    await step;
  }

  async #learnAfter(previous: Promise<void>): Promise<void> {
    await previous;
    const { layout } = this.table;
    const hashes = layout.section("hashes");
    if (!this.table.knowsPieces && this.#holds(hashes)) this.table.learnHashes(await this.readKept(hashes));
    const frames = layout.section("frames");
    if (this.table.frames === undefined && this.#holds(frames)) {
      this.table.learnFrames(await this.readKept(frames));
      await this.#keepFrames?.();
      this.#keepFrames = undefined;
    }
  }

  #holds(run: Run | undefined): run is Run {
    return run !== undefined && this.have.hasAll(run.first, run.count);
  }
}
