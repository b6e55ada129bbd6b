import type { Run } from "@ckmesh/core";
import { FRAME_BYTES, MAX_DICTIONARY_SECTORS, SECTOR_BYTES } from "@ckmesh/image";
import { DICTIONARY_PREFIX_BYTES } from "../pack/codec.js";
import type { FrameReader } from "../pack/frame-reader.js";

/** Decoded frames that are kept, 8 MiB: neighbours of a new frame mostly refer to neighbours. */
const CACHED_FRAMES = 128;

/** Makes dictionaries out of the unique sectors of a base, in a worker thread. */
export class BaseSectors {
  readonly #reader: FrameReader;
  readonly #slab = new Uint8Array(CACHED_FRAMES * FRAME_BYTES);
  /** Slot by frame; the one used longest ago first. */
  readonly #slots = new Map<number, number>();
  readonly #dictionary = new Uint8Array(DICTIONARY_PREFIX_BYTES + MAX_DICTIONARY_SECTORS * SECTOR_BYTES);

  constructor(reader: FrameReader) {
    this.#reader = reader;
  }

  /**
   * The dictionary of these runs, at most 32 sectors that the base has; valid until the next call.
   * @throws {AppError} ERR_PACK_INVALID when a frame of the base is damaged
   */
  async dictionary(runs: readonly Run[]): Promise<Uint8Array> {
    const { table } = this.#reader;
    await this.#load(runs);
    let at = DICTIONARY_PREFIX_BYTES;
    for (const { first, count } of runs) {
      let frame = table.frameOf(first);
      for (let sector = first; sector < first + count; sector += 1) {
        if (sector >= table.firstSector(frame + 1)) frame += 1;
        const from = (this.#slots.get(frame) ?? 0) * FRAME_BYTES;
        const start = from + (sector - table.firstSector(frame)) * SECTOR_BYTES;
        this.#dictionary.set(this.#slab.subarray(start, start + SECTOR_BYTES), at);
        at += SECTOR_BYTES;
      }
    }
    return this.#dictionary.subarray(0, at);
  }

  /** Brings all frames of the runs into the cache. */
  async #load(runs: readonly Run[]): Promise<void> {
    const { table } = this.#reader;
    const missing: number[] = [];
    for (const { first, count } of runs) {
      const last = table.frameOf(first + count - 1);
      for (let frame = table.frameOf(first); frame <= last; frame += 1) {
        const slot = this.#slots.get(frame);
        if (slot === undefined) {
          if (missing.at(-1) !== frame) missing.push(frame);
          continue;
        }
        this.#slots.delete(frame);
        this.#slots.set(frame, slot);
      }
    }
    await this.#reader.read(missing, true, (frame, raw) => {
      this.#slab.set(raw, this.#takeSlot(frame) * FRAME_BYTES);
    });
  }

  #takeSlot(frame: number): number {
    let slot = this.#slots.size;
    if (slot === CACHED_FRAMES) {
      const [oldest] = this.#slots;
      if (oldest === undefined) throw new Error("unreachable: a full cache without an entry");
      this.#slots.delete(oldest[0]);
      slot = oldest[1];
    }
    this.#slots.set(frame, slot);
    return slot;
  }
}
