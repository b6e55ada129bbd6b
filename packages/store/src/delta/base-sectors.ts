import type { Run } from "@ckmesh/core";
import { FRAME_BYTES, MAX_DICTIONARY_SECTORS, SECTOR_BYTES } from "@ckmesh/image";
import { DICTIONARY_PREFIX_BYTES } from "../pack/codec.js";
import type { FrameReader } from "../pack/frame-reader.js";
import type { HeldFrames } from "./delta-tasks.js";
import { FrameSlots } from "./frame-slots.js";

/** Decoded frames that are kept, 8 MiB: neighbours of a new frame mostly refer to neighbours. */
const CACHED_FRAMES = 128;

/** Makes dictionaries out of the unique sectors of a base, in a worker thread. */
export class BaseSectors {
  readonly #reader: FrameReader;
  readonly #held: HeldFrames | undefined;
  /** Place by frame. */
  readonly #places = new Map<number, number>();
  readonly #slab = new Uint8Array(CACHED_FRAMES * FRAME_BYTES);
  readonly #slots = new FrameSlots(CACHED_FRAMES);
  readonly #dictionary = new Uint8Array(DICTIONARY_PREFIX_BYTES + MAX_DICTIONARY_SECTORS * SECTOR_BYTES);

  /** @param held frames that some thread hands to `hold` before a dictionary is made */
  constructor(reader: FrameReader, held?: HeldFrames) {
    this.#reader = reader;
    this.#held = held;
    for (const [place, frame] of held?.frames.entries() ?? []) this.#places.set(frame, place);
  }

  /** Keeps a decoded frame for all threads if it is one of those that are held. */
  hold(frame: number, raw: Uint8Array): void {
    const place = this.#places.get(frame);
    if (place !== undefined) this.#held?.raw.set(raw, place * FRAME_BYTES);
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
      const end = first + count;
      for (let sector = first; sector < end; ) {
        const frame = table.frameOf(sector);
        const stop = Math.min(end, table.firstSector(frame + 1));
        const start = (sector - table.firstSector(frame)) * SECTOR_BYTES;
        const bytes = (stop - sector) * SECTOR_BYTES;
        this.#dictionary.set(this.#raw(frame).subarray(start, start + bytes), at);
        at += bytes;
        sector = stop;
      }
    }
    return this.#dictionary.subarray(0, at);
  }

  /** A frame that is held or loaded. */
  #raw(frame: number): Uint8Array {
    const place = this.#places.get(frame);
    if (this.#held !== undefined && place !== undefined)
      return this.#held.raw.subarray(place * FRAME_BYTES, (place + 1) * FRAME_BYTES);
    const slot = this.#slots.of(frame);
    return this.#slab.subarray(slot * FRAME_BYTES, (slot + 1) * FRAME_BYTES);
  }

  /** Brings all frames of the runs that are not held into the cache. */
  async #load(runs: readonly Run[]): Promise<void> {
    const { table } = this.#reader;
    const missing: number[] = [];
    for (const { first, count } of runs) {
      const last = table.frameOf(first + count - 1);
      for (let frame = table.frameOf(first); frame <= last; frame += 1) {
        if (this.#places.has(frame)) continue;
        if (!this.#slots.touch(frame) && missing.at(-1) !== frame) missing.push(frame);
      }
    }
    if (missing.length === 0) return;
    await this.#reader.read(missing, true, (frame, raw) => {
      this.#slab.set(raw, this.#slots.take(frame) * FRAME_BYTES);
    });
  }
}
