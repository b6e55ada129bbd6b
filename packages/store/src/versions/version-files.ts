import { rm } from "node:fs/promises";
import { AppError, type Bitfield, type Clock, type Logger } from "@ckmesh/core";
import { decodeHead } from "@ckmesh/image";
import type { IoPacer } from "../files/io-pacer.js";
import { onDisk } from "../files/store-error.js";
import { PackHash } from "../pack/pack-hash.js";
import { ImageRows } from "./image-rows.js";
import { sourceCode } from "./row-source.js";
import { versionPaths } from "./store-layout.js";

export interface VersionFilesOptions {
  /** The folder of the image; must exist. */
  readonly folder: string;
  /** The first 4096 bytes of the index, as the origin sent them. */
  readonly headBlock: Uint8Array;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What proving the whole pack reads passes here. */
  readonly io?: IoPacer | undefined;
}

/**
 * The two files of one version: `.partial` at final offsets while rows come in, renamed to their final names
 * by `finish` only. States: partial → complete (`finish`) → partial again (`recheck` found damage).
 */
export class VersionFiles extends ImageRows {
  #isComplete = false;
  readonly #packHash: PackHash;
  readonly #io: IoPacer | undefined;
  /** All frames before this row are held. */
  #firstMissing: number;

  private constructor({ folder, headBlock, clock, logger, io }: VersionFilesOptions) {
    const signed = decodeHead(headBlock);
    const paths = versionPaths(folder, signed.head.name, signed.head.version);
    super({ signed, headBlock, paths, clock, logger });
    this.#io = io;
    this.#packHash = new PackHash(
      () => this.pair.file("pack"),
      this.table.packHeaderLength,
      async (bytes, signal) => await io?.admit(bytes, signal),
    );
    this.#firstMissing = this.table.layout.pieceRows;
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
    if (!this.have.isFull) throw new Error("unreachable: finish of a version with missing rows");
    const stopped = (): AppError | undefined =>
      options.signal?.aborted === true
        ? new AppError("ERR_ABORTED", "the check of the pack was stopped")
        : undefined;
    const admit = async (bytes: number): Promise<void> => await this.#io?.admit(bytes, options.signal);
    const isRight = await this.#packHash.isRight(this.signed.head.pack, stopped, options.onProgress, admit);
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
    await this.saved.close();
    await this.notes?.flush();
    await this.pair.makeFinal();
    await this.removeDecoded();
    await onDisk(this.paths.have, () => rm(this.paths.have, { force: true }));
    this.#isComplete = true;
  }

  override async close(): Promise<void> {
    await this.#packHash.pause();
    await super.close();
  }

  /** The hash of the pack follows what is whole from its beginning on. */
  protected override rowsCame(): void {
    const { rows } = this.table.layout;
    const next = this.have.next(this.#firstMissing, false);
    if (next === this.#firstMissing) return;
    this.#firstMissing = next;
    const { pack } = this.signed.head;
    this.#packHash.advance(next >= rows ? pack.length : this.table.locate({ first: next, count: 1 }).offset);
  }

  /** A complete version with a wrong row becomes partial again. */
  protected override async rowsLost(lost: Bitfield): Promise<void> {
    if (lost.next(this.table.layout.pieceRows, true) < lost.length) {
      this.#firstMissing = this.table.layout.pieceRows;
      await this.#packHash.reset();
    }
    if (!this.#isComplete) return;
    await this.pair.makePartial();
    this.#isComplete = false;
    this.saved.start();
  }

  async #open(): Promise<void> {
    if (await this.pair.isFinal()) {
      if (await this.#openComplete()) return;
      this.logger.warn({ file: this.paths.index }, "a proven index is damaged; it is fetched again");
    }
    await this.openPartial();
    await this.findDecoded();
  }

  /** @returns false when the index is no longer what the head says; nothing is open then */
  async #openComplete(): Promise<boolean> {
    await this.pair.openFinal();
    if (!(await this.#learnComplete())) {
      await this.pair.close();
      return false;
    }
    this.#isComplete = true;
    const notes = await this.openNotes();
    this.notes = notes;
    // A pair that somebody put there came neither from a peer nor from the origin.
    if (notes.isEmpty) notes.set(0, this.have.length, sourceCode("previous"));
    for (let row = 0; row < this.have.length; row++) this.held.take(row, notes.code(row));
    return true;
  }

  /** Learns from the index of a complete version, each piece proven; false when one is damaged. */
  async #learnComplete(): Promise<boolean> {
    const { layout } = this.table;
    const hashes = layout.section("hashes");
    const frames = layout.section("frames");
    if (hashes === undefined || frames === undefined) return false;
    const section = await this.readKept(hashes);
    if (this.table.check(hashes.first, section) !== "good") return false;
    this.table.learnHashes(section);
    let isSound = true;
    await this.scan({ first: 0, count: layout.pieceRows }, (_row, isGood) => {
      isSound &&= isGood;
    });
    if (isSound) this.table.learnFrames(await this.readKept(frames));
    return isSound;
  }
}
