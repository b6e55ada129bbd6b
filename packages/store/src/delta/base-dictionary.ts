import { AppError, isAppError, type Run } from "@ckmesh/core";
import { FRAME_BYTES, SECTOR_BYTES } from "@ckmesh/image";
import { DICTIONARY_PREFIX_BYTES } from "../pack/codec.js";
import type { FrameDecoder } from "../pack/frame-decoder.js";
import type { FrameReader } from "../pack/frame-reader.js";
import { MAX_DICTIONARY_BYTES, type ZstdArea, ZstdWasm } from "../pack/zstd-wasm.js";

/** Decoded frames that are kept, 16 MiB: neighbours of a new frame mostly refer to neighbours. */
const CACHED_FRAMES = 256;

/**
 * Makes the dictionaries with which frames of a delta are decoded, in the memory of zstd: frames of the base are
 * decoded there, and their sectors never leave it.
 */
export class BaseDictionary {
  readonly #reader: FrameReader;
  readonly #decoder: FrameDecoder;
  readonly #zstd: ZstdWasm;
  readonly #cache: ZstdArea;
  /** Slot by frame; the one used longest ago first. What is in them is proven by what comes of it, or not at all. */
  readonly #slots = new Map<number, number>();

  private constructor(reader: FrameReader, decoder: FrameDecoder, zstd: ZstdWasm) {
    this.#reader = reader;
    this.#decoder = decoder;
    this.#zstd = zstd;
    this.#cache = zstd.allocate(CACHED_FRAMES * FRAME_BYTES);
  }

  static async create(reader: FrameReader, decoder: FrameDecoder): Promise<BaseDictionary> {
    return new BaseDictionary(reader, decoder, await ZstdWasm.load());
  }

  /**
   * The dictionary of these runs, at most 32 sectors that the base has; valid until the next call. Of frames that are
   * damaged it may be wrong without notice: for who proves what is decoded with it.
   * @throws {AppError} ERR_PACK_INVALID when a frame of the base is damaged
   */
  async make(runs: readonly Run[]): Promise<ZstdArea> {
    const missing: number[] = [];
    for (const frame of this.#framesOf(runs)) {
      if (!this.#touch(frame)) missing.push(frame);
    }
    if (missing.length > 0)
      await this.#reader.readUnproven(missing, (frame, bytes, isRaw) => this.#load(frame, bytes, isRaw));
    return this.#join(runs);
  }

  /**
   * The same out of frames that are read again, and proven.
   * @throws {AppError} ERR_PACK_INVALID with `frame`, the first that is damaged
   */
  async makeProven(runs: readonly Run[]): Promise<ZstdArea> {
    await this.#reader.readProven(this.#framesOf(runs), (frame, bytes, isRaw) => {
      this.#touch(frame);
      this.#load(frame, bytes, isRaw);
    });
    return this.#join(runs);
  }

  /** Rising, as runs do. */
  #framesOf(runs: readonly Run[]): readonly number[] {
    const { table } = this.#reader;
    const frames: number[] = [];
    for (const { first, count } of runs) {
      const last = table.frameOf(first + count - 1);
      for (let frame = table.frameOf(first); frame <= last; frame += 1) {
        if (frames.at(-1) !== frame) frames.push(frame);
      }
    }
    return frames;
  }

  #join(runs: readonly Run[]): ZstdArea {
    const { table } = this.#reader;
    const sectors = runs.reduce((sum, { count }) => sum + count, 0);
    const length = DICTIONARY_PREFIX_BYTES + sectors * SECTOR_BYTES;
    if (length > MAX_DICTIONARY_BYTES) throw new Error("unreachable: a long dictionary");
    const area = { address: this.#decoder.dictionaryEnd - length, length };
    this.#zstd.bytes({ ...area, length: DICTIONARY_PREFIX_BYTES }).fill(0);
    let to = area.address + DICTIONARY_PREFIX_BYTES;
    for (const { first, count } of runs) {
      const end = first + count;
      for (let sector = first; sector < end; ) {
        const frame = table.frameOf(sector);
        const stop = Math.min(end, table.firstSector(frame + 1));
        const from = this.#place(frame) + (sector - table.firstSector(frame)) * SECTOR_BYTES;
        const bytes = (stop - sector) * SECTOR_BYTES;
        this.#zstd.copy(to, from, bytes);
        to += bytes;
        sector = stop;
      }
    }
    return area;
  }

  #load(frame: number, bytes: Uint8Array, isRaw: boolean): void {
    const address = this.#cache.address + this.#slotFor(frame) * FRAME_BYTES;
    if (isRaw) this.#zstd.bytes({ address, length: bytes.length }).set(bytes);
    else this.#decode(frame, bytes, address);
  }

  #decode(frame: number, packed: Uint8Array, address: number): void {
    try {
      this.#decoder.unpackInto({ address, length: FRAME_BYTES }, packed, this.#reader.table.rawLength(frame));
    } catch (cause) {
      if (!isAppError(cause, "ERR_PACK_INVALID")) throw cause;
      throw new AppError("ERR_PACK_INVALID", `frame ${frame} of the base cannot be decoded`, {
        cause,
        details: { frame },
      });
    }
  }

  /** Where a frame lies that was loaded. */
  #place(frame: number): number {
    const slot = this.#slots.get(frame);
    if (slot === undefined) throw new Error("unreachable: a frame that was not loaded");
    return this.#cache.address + slot * FRAME_BYTES;
  }

  /** False: the frame is not here. */
  #touch(frame: number): boolean {
    const slot = this.#slots.get(frame);
    if (slot === undefined) return false;
    this.#slots.delete(frame);
    this.#slots.set(frame, slot);
    return true;
  }

  #slotFor(frame: number): number {
    let slot = this.#slots.get(frame);
    if (slot !== undefined) return slot;
    slot = this.#slots.size;
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
