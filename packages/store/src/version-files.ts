import { readFile, rm } from "node:fs/promises";
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
import { decodeHead, type FrameTable, type SignedHead } from "@ckmesh/image";
import { ByteGate } from "./byte-gate.js";
import { Checkpoint } from "./checkpoint.js";
import { FilePair } from "./file-pair.js";
import { decodeHaveMap } from "./have-map.js";
import { HeldRows } from "./held-rows.js";
import { PackHash } from "./pack-hash.js";
import { type RowSource, type SourceBytes, sourceCode } from "./row-source.js";
import { RowTable } from "./row-table.js";
import { SourceNotes } from "./source-notes.js";
import { fileErrorCode, onDisk } from "./store-error.js";
import { type VersionPaths, versionPaths } from "./store-layout.js";

/** Most bytes of row writes in flight per version. */
const WRITE_WINDOW_BYTES = 8 * MIB;
/** Rows are read back and hashed in runs of this size. */
const SCAN_BYTES = MIB;
/** A pack that takes no more than this on the disk has no frame yet: its header, and what rounds it up. */
const EMPTY_PACK_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(SCAN_BYTES);

export interface VersionFilesOptions {
  /** The folder of the image; must exist. */
  readonly folder: string;
  /** The first 4096 bytes of the index, as the origin sent them. */
  readonly headBlock: Uint8Array;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The two files of one version: `.partial` at final offsets while rows come in, renamed to their final names
 * by `finish` only. States: partial → complete (`finish`) → partial again (`recheck` found damage).
 */
export class VersionFiles {
  readonly signed: SignedHead;
  readonly table: RowTable;
  readonly paths: VersionPaths;
  readonly #options: VersionFilesOptions;
  readonly #pair: FilePair;
  readonly #held: HeldRows;
  readonly #writes = new ByteGate(WRITE_WINDOW_BYTES);
  readonly #checkpoint: Checkpoint;
  #notes: SourceNotes | undefined;
  #isComplete = false;
  /** After a crash: takes the frames that lie here, once it is known where they are. */
  #keepFrames: (() => Promise<void>) | undefined;
  #learning: Promise<void> = Promise.resolve();
  readonly #packHash: PackHash;
  /** All frames before this row are held. */
  #firstMissing: number;

  private constructor(options: VersionFilesOptions) {
    this.#options = options;
    this.signed = decodeHead(options.headBlock);
    const { head } = this.signed;
    this.table = new RowTable(head);
    this.paths = versionPaths(options.folder, head.name, head.version);
    this.#pair = new FilePair(this.signed, this.paths);
    this.#held = new HeldRows(this.table.layout.rows, (row) => this.table.length(row));
    this.#packHash = new PackHash(() => this.#pair.file("pack"), this.table.packHeaderLength);
    this.#firstMissing = this.table.layout.pieceRows;
    this.#checkpoint = new Checkpoint({
      path: this.paths.have,
      versionId: this.signed.id,
      clock: options.clock,
      logger: options.logger,
      have: () => this.#held.have.clone(),
      sync: async () => {
        await this.#notes?.flush();
        await this.#pair.sync();
      },
    });
  }

  /**
   * Opens the version where it was left: complete, or partial with every right row that lies on the disk.
   * @throws {AppError} ERR_STORE_FULL, ERR_INDEX_INVALID
   */
  static async open(options: VersionFilesOptions): Promise<VersionFiles> {
    const files = new VersionFiles(options);
    try {
      await files.#open();
    } catch (err) {
      await files.close();
      throw err;
    }
    return files;
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Rows held, each with a right hash when it was stored. Live: changes as rows come; do not change it. */
  get have(): Bitfield {
    return this.#held.have;
  }

  get frames(): FrameTable | undefined {
    return this.table.frames;
  }

  /** Bytes of the rows held, by how they came: each row counts once. */
  get bytes(): SourceBytes {
    return this.#held.bytes;
  }

  /**
   * Bytes of a run of held rows of one file. Not hashed again: the receiver does, and says so (`bad-rows`). They
   * are of `rowBlocks`, which whoever is done with them may give them back to.
   * @throws {AppError} ERR_STORE_CORRUPT
   */
  async read(run: Run): Promise<Uint8Array> {
    const { file, offset, length } = this.table.locate(run);
    const bytes = rowBlocks.take(length);
    await this.#pair.file(file).readInto(bytes, offset);
    return bytes;
  }

  /** As `read`, but in memory of just that size: the table keeps it. */
  async #readKept(run: Run): Promise<Uint8Array> {
    const { file, offset, length } = this.table.locate(run);
    return await this.#pair.file(file).read(offset, length);
  }

  /** Bytes of the pack wherever they lie, held or not: for frames that another version has too. Of `rowBlocks`. */
  async readPack(offset: number, length: number): Promise<Uint8Array> {
    const bytes = rowBlocks.take(length);
    await this.#pair.file("pack").readInto(bytes, offset);
    return bytes;
  }

  /**
   * Stores a run of rows of one file whose hashes the caller has just checked. When it returns they are on
   * offer; a crash of the process keeps them.
   * @throws {AppError} ERR_STORE_FULL; ERR_INDEX_INVALID when a complete section turns out senseless
   */
  async write(run: Run, bytes: Uint8Array, source: RowSource): Promise<void> {
    const { file, offset, length } = this.table.locate(run);
    if (length !== bytes.byteLength) throw new Error(`unreachable: ${bytes.byteLength} bytes for ${length}`);
    if (this.#isComplete || this.#held.have.hasAll(run.first, run.count)) return;
    await this.#writes.run(length, () => this.#pair.file(file).write(offset, bytes));
    this.#notes?.set(run.first, run.count, sourceCode(source));
    for (let row = run.first; row < run.first + run.count; row++) this.#held.take(row, sourceCode(source));
    this.#checkpoint.wrote(length);
    if (this.table.frames === undefined) await this.#learn();
    else this.#hashOn();
  }

  /**
   * Hashes held rows again, as a peer said that they are wrong, and drops those that are. A complete version
   * with a wrong row becomes partial again.
   * @returns the rows dropped
   */
  async recheck(runs: readonly Run[]): Promise<readonly Run[]> {
    const lost = new Bitfield(this.#held.have.length);
    for (const run of runs) {
      for (const held of this.#held.have.runs(true, run.first, run.count)) {
        await this.#scan(held, (row, isGood) => {
          if (!isGood) lost.add(row);
        });
      }
    }
    if (lost.count === 0) return [];
    for (const { first, count } of lost.runs()) {
      for (let row = first; row < first + count; row++) this.#held.drop(row);
    }
    if (lost.next(this.table.layout.pieceRows, true) < lost.length) {
      this.#firstMissing = this.table.layout.pieceRows;
      await this.#packHash.reset();
    }
    this.#options.logger.warn({ file: this.paths.pack, rows: lost.count }, "damaged rows dropped");
    if (this.#isComplete) {
      await this.#pair.makePartial();
      this.#isComplete = false;
      this.#checkpoint.start();
    }
    await this.#checkpoint.save();
    return [...lost.runs()];
  }

  /** Writes the checkpoint now. */
  async checkpoint(): Promise<void> {
    if (!this.#isComplete) await this.#checkpoint.save();
  }

  /**
   * Proves the whole pack (`pack.sha256`), makes both files durable and gives them their final names, pack
   * first.
   * @throws {AppError} ERR_PACK_INVALID when every row is right and the whole is not: the publisher's fault;
   *   ERR_FRAME_HASH_MISMATCH when rows were damaged meanwhile and have to come again; ERR_ABORTED
   */
  async finish(
    options: { signal?: AbortSignal; onProgress?: (bytesDone: number) => void } = {},
  ): Promise<void> {
    if (this.#isComplete) return;
    if (!this.#held.have.isFull) throw new Error("unreachable: finish of a version with missing rows");
    const stopped = (): AppError | undefined =>
      options.signal?.aborted === true
        ? new AppError("ERR_ABORTED", "the check of the pack was stopped")
        : undefined;
    const isRight = await this.#packHash.isRight(this.signed.head.pack, stopped, options.onProgress);
    const lost = await this.recheck(
      isRight
        ? [{ first: 0, count: this.table.layout.pieceRows }]
        : [{ first: 0, count: this.table.layout.rows }],
    );
    if (lost.length > 0) {
      throw new AppError(
        "ERR_FRAME_HASH_MISMATCH",
        "stored rows were damaged on the disk; they are fetched again",
      );
    }
    if (!isRight) {
      throw new AppError(
        "ERR_PACK_INVALID",
        `${this.signed.head.name} ${this.signed.head.version}: every frame is right but the whole pack is not what its head says; publish it again`,
      );
    }
    await this.#checkpoint.close();
    await this.#notes?.flush();
    await this.#pair.makeFinal();
    await onDisk(this.paths.have, () => rm(this.paths.have, { force: true }));
    this.#isComplete = true;
  }

  /** Ends with a last checkpoint; safe to call twice. */
  async close(): Promise<void> {
    await this.#checkpoint.close();
    const notes = this.#notes;
    this.#notes = undefined;
    await this.#pair.close();
    await notes?.close();
  }

  async #open(): Promise<void> {
    if (await this.#pair.isFinal()) {
      if (await this.#openComplete()) return;
      this.#options.logger.warn({ file: this.paths.index }, "a proven index is damaged; it is fetched again");
    }
    const isResumed = await this.#pair.openPartial(this.#options.headBlock, this.table.packHeaderLength);
    this.#notes = await this.#openNotes();
    if (isResumed) await this.#resume();
    this.#checkpoint.start();
  }

  /** @returns false when the index is no longer what the head says; nothing is open then */
  async #openComplete(): Promise<boolean> {
    await this.#pair.openFinal();
    if (!(await this.#learnComplete())) {
      await this.#pair.close();
      return false;
    }
    this.#isComplete = true;
    const notes = await this.#openNotes();
    this.#notes = notes;
    // A pair that somebody put there came neither from a peer nor from the origin.
    if (notes.isEmpty) notes.set(0, this.#held.have.length, sourceCode("previous"));
    for (let row = 0; row < this.#held.have.length; row++) this.#held.take(row, notes.code(row));
    return true;
  }

  async #openNotes(): Promise<SourceNotes> {
    const { clock, logger } = this.#options;
    return await SourceNotes.open(this.paths.sources, this.table.layout.rows, clock, logger);
  }

  /** Takes the frames of the checkpoint as given, and hashes every other row where it lies. */
  async #resume(): Promise<void> {
    const saved = await this.#loadCheckpoint();
    const codeOf = (row: number): number => this.#notes?.code(row) ?? 0;
    const keep = (run: Run): Promise<void> =>
      this.#scan(run, (row, isGood) => {
        if (isGood) this.#held.take(row, codeOf(row));
      });
    const { pieceRows, frameRows } = this.table.layout;
    this.#keepFrames = async () => {
      for (const held of saved.runs(true, pieceRows, frameRows)) {
        for (let row = held.first; row < held.first + held.count; row++) this.#held.take(row, codeOf(row));
      }
      if ((await this.#pair.packBytesOnDisk()) <= EMPTY_PACK_BYTES) return;
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
    const rows = this.table.layout.rows;
    try {
      return decodeHaveMap(await readFile(this.paths.have), this.signed.id, rows);
    } catch (err) {
      if (!isAppError(err, "ERR_STORE_CORRUPT") && fileErrorCode(err) !== "ENOENT") throw err;
      this.#options.logger.info(
        { file: this.paths.have, reason: describeError(err) },
        "no usable checkpoint",
      );
      return new Bitfield(rows);
    }
  }

  /** Learns from the index of a complete version, each piece proven; false when one is damaged. */
  async #learnComplete(): Promise<boolean> {
    const { layout } = this.table;
    const hashes = layout.section("hashes");
    const frames = layout.section("frames");
    if (hashes === undefined || frames === undefined) return false;
    const section = await this.#readKept(hashes);
    if (this.table.check(hashes.first, section) !== "good") return false;
    this.table.learnHashes(section);
    let isSound = true;
    await this.#scan({ first: 0, count: layout.pieceRows }, (_row, isGood) => {
      isSound &&= isGood;
    });
    if (isSound) this.table.learnFrames(await this.#readKept(frames));
    return isSound;
  }

  /** Reads the sections that say more about the others, as soon as all their rows are held. */
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
    if (!this.table.knowsPieces && this.#holds(hashes)) this.table.learnHashes(await this.#readKept(hashes));
    const frames = layout.section("frames");
    if (this.table.frames === undefined && this.#holds(frames)) {
      this.table.learnFrames(await this.#readKept(frames));
      await this.#keepFrames?.();
      this.#keepFrames = undefined;
    }
  }

  /** The hash of the pack follows what is whole from its beginning on. */
  #hashOn(): void {
    const { rows } = this.table.layout;
    const next = this.#held.have.next(this.#firstMissing, false);
    if (next === this.#firstMissing) return;
    this.#firstMissing = next;
    const { pack } = this.signed.head;
    this.#packHash.advance(next >= rows ? pack.length : this.table.locate({ first: next, count: 1 }).offset);
  }

  #holds(run: Run | undefined): run is Run {
    return run !== undefined && this.#held.have.hasAll(run.first, run.count);
  }

  /** Hashes the known rows of a run where they lie. Holes (all zero) are not worth a hash. */
  async #scan(run: Run, result: (row: number, isGood: boolean) => void): Promise<void> {
    const known = { first: run.first, count: Math.min(run.count, this.table.knownRows - run.first) };
    if (known.count <= 0) return;
    for (const part of this.table.chunks(known, SCAN_BYTES)) {
      const bytes = await this.read(part);
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
}
