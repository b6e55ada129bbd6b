import { type DiskShape, diskPages, diskSectors, HASH_BYTES, PAGE_BYTES, PAGE_SECTORS } from "@ckmesh/image";
import { BufferPool, sharedBytes } from "../files/buffer-pool.js";
import type { ScanSlot } from "../image-tasks.js";
import type { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import { throwIfStopped } from "../progress.js";

const SLOT_PAGES = 1;
const SLOT_SECTORS = SLOT_PAGES * PAGE_SECTORS;

/** A stretch of disk that was read and hashed. */
export interface Scanned {
  readonly slot: ScanSlot;
  /** First disk sector. */
  readonly first: number;
  readonly count: number;
}

/** Reads a disk in stretches of 1 MiB on worker threads, some ahead, and hands them over in disk order. */
export class DiskScan {
  readonly shape: DiskShape;
  /** Stretches of the disk. */
  readonly stretches: number;
  readonly #workers: ImageWorkers;
  readonly #slots: BufferPool<ScanSlot>;

  constructor(workers: ImageWorkers, shape: DiskShape) {
    this.#workers = workers;
    this.shape = shape;
    this.stretches = Math.ceil(diskPages(shape) / SLOT_PAGES);
    this.#slots = new BufferPool<ScanSlot>(workers.threads + 1, () => ({
      data: sharedBytes(SLOT_PAGES * PAGE_BYTES),
      hashes: new Uint32Array(new SharedArrayBuffer(SLOT_SECTORS * HASH_BYTES)),
      used: sharedBytes(SLOT_SECTORS),
      pages: sharedBytes(SLOT_PAGES * HASH_BYTES),
    }));
  }

  /** First disk sector of a stretch; of `stretches`, the number of all. */
  firstSector(stretch: number): number {
    return Math.min(stretch * SLOT_SECTORS, diskSectors(this.shape));
  }

  /** Bytes of disk before a stretch, for progress. */
  bytesBefore(stretch: number): number {
    return Math.min(stretch * SLOT_PAGES * PAGE_BYTES, this.shape.size);
  }

  /** Visits the named stretches, which rise; the slot is free again when `visit` is done. */
  async run(
    stretches: ArrayLike<number>,
    signal: AbortSignal | undefined,
    visit: (scanned: Scanned, stretch: number) => void | Promise<void>,
  ): Promise<void> {
    await runOrdered(
      stretches.length,
      this.#workers.threads + 1,
      async (i) => {
        throwIfStopped(signal);
        const stretch = stretches[i] ?? 0;
        const first = this.firstSector(stretch);
        const count = this.firstSector(stretch + 1) - first;
        const slot = await this.#slots.take();
        await this.#workers.run("scan", { slot, first, count });
        return { slot, first, count };
      },
      async (scanned, i) => {
        await visit(scanned, stretches[i] ?? 0);
        this.#slots.give(scanned.slot);
      },
    );
  }
}
