import { createHash } from "node:crypto";
import {
  FRAME_BYTES,
  FRAME_RECORD_BYTES,
  FRAME_SECTORS,
  PACK_HEADER_BYTES,
  SECTOR_BYTES,
} from "@ckmesh/image";
import { BufferPool, sharedBytes } from "../files/buffer-pool.js";
import type { TemporaryFile } from "../files/temporary-file.js";
import type { FrameBatch } from "../image-tasks.js";
import type { ImageWorkers } from "../image-workers.js";

const BATCH_FRAMES = 16;
/** Bytes of pack after which it is flushed in the background. */
const FLUSH_BYTES = 32 << 20;
const BATCH_BYTES = BATCH_FRAMES * FRAME_BYTES;
/** Records that are spooled at once: a write for those of each batch took more time than their hashes. */
const SPOOL_BYTES = 64 * 1024;

/** Writes the frames of a pack in order while worker threads compress them; keeps their records and hash. */
export class FrameWriter {
  readonly #workers: ImageWorkers;
  readonly #file: TemporaryFile;
  readonly #spool: TemporaryFile;
  readonly #batches: BufferPool<FrameBatch>;
  readonly #hash = createHash("sha256");
  #position = PACK_HEADER_BYTES;
  #flushed = 0;
  readonly #records = new Uint8Array(SPOOL_BYTES);
  #recorded = 0;
  #spooled = 0;
  #frames = 0;
  #batch: FrameBatch | undefined;
  /** Bytes. */
  #filled = 0;
  /** All batches given away, written in their order. */
  #tail: Promise<void> = Promise.resolve();
  #failure: Error | undefined;

  /** @param spool keeps the records meanwhile, from its start on: 25 MB for 32 GB of disk */
  constructor(workers: ImageWorkers, file: TemporaryFile, spool: TemporaryFile) {
    this.#workers = workers;
    this.#file = file;
    this.#spool = spool;
    this.#batches = new BufferPool<FrameBatch>(workers.threads * 2 + 1, () => ({
      raw: sharedBytes(BATCH_BYTES),
      packed: sharedBytes(BATCH_BYTES),
      records: sharedBytes(BATCH_FRAMES * FRAME_RECORD_BYTES),
    }));
  }

  /** Whether `put` may be called; else `makeRoom` must be awaited first. */
  get hasRoom(): boolean {
    return this.#batch !== undefined;
  }

  /** Appends sectors, as many as there is room for; copies them. Returns their bytes. */
  put(sectors: Uint8Array): number {
    const taken = sectors.subarray(0, BATCH_BYTES - this.#filled);
    this.#batch?.raw.set(taken, this.#filled);
    this.#filled += taken.length;
    if (this.#filled === BATCH_BYTES) this.#giveAway();
    return taken.length;
  }

  async makeRoom(): Promise<void> {
    this.#throwFailure();
    this.#batch ??= await this.#batches.take();
    this.#throwFailure();
  }

  /** Appends frames as they are, with their records. Only before the first sector. */
  async appendPacked(bytes: Uint8Array, records: Uint8Array): Promise<void> {
    await this.#append(bytes, records);
    this.#frames += records.length / FRAME_RECORD_BYTES;
  }

  /** Writes out what is left. Afterwards the pack is complete but for its header. */
  async finish(): Promise<{
    readonly length: number;
    readonly sha256: Uint8Array;
    readonly frames: Uint8Array;
  }> {
    this.#giveAway();
    await this.#tail;
    this.#throwFailure();
    await this.#spoolRecords();
    return {
      length: this.#position,
      sha256: this.#hash.digest(),
      frames: await this.#spool.read(0, this.#frames * FRAME_RECORD_BYTES),
    };
  }

  /** Resolves when nothing is under way any more, whatever came of it. */
  async settle(): Promise<void> {
    await this.#tail;
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #giveAway(): void {
    const batch = this.#batch;
    const sectors = this.#filled / SECTOR_BYTES;
    this.#batch = undefined;
    this.#filled = 0;
    if (batch === undefined || sectors === 0) return;
    const frames = Math.ceil(sectors / FRAME_SECTORS);
    this.#frames += frames;
    const packed = this.#workers.run("pack", { batch, sectors });
    packed.catch(() => {}); // seen in its turn
    this.#tail = this.#writeAfter(this.#tail, packed, batch, frames);
  }

  /** Never rejects: what goes wrong shows at the next call. */
  async #writeAfter(
    before: Promise<void>,
    packed: Promise<number>,
    batch: FrameBatch,
    frames: number,
  ): Promise<void> {
    await before;
    try {
      const length = await packed;
      if (this.#failure !== undefined) return;
      await this.#append(
        batch.packed.subarray(0, length),
        batch.records.subarray(0, frames * FRAME_RECORD_BYTES),
      );
    } catch (err) {
      this.#failure ??= err instanceof Error ? err : new Error(String(err));
    } finally {
      this.#batches.give(batch);
    }
  }

  async #append(bytes: Uint8Array, records: Uint8Array): Promise<void> {
    this.#hash.update(bytes);
    await this.#file.write(bytes, this.#position);
    this.#position += bytes.length;
    if (this.#position - this.#flushed >= FLUSH_BYTES) {
      this.#flushed = this.#position;
      this.#file.flushSoon();
    }
    if (this.#recorded + records.length > SPOOL_BYTES) await this.#spoolRecords();
    if (records.length > SPOOL_BYTES) {
      await this.#spool.write(records, this.#spooled);
      this.#spooled += records.length;
    } else {
      this.#records.set(records, this.#recorded);
      this.#recorded += records.length;
    }
  }

  async #spoolRecords(): Promise<void> {
    await this.#spool.write(this.#records.subarray(0, this.#recorded), this.#spooled);
    this.#spooled += this.#recorded;
    this.#recorded = 0;
  }
}
