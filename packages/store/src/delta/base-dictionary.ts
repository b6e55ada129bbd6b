import { AppError, isAppError, type Run } from "@ckmesh/core";
import { FRAME_BYTES, SECTOR_BYTES } from "@ckmesh/image";
import { DICTIONARY_PREFIX_BYTES } from "../pack/codec.js";
import type { FrameDecoder } from "../pack/frame-decoder.js";
import type { FrameReader } from "../pack/frame-reader.js";
import { MAX_DICTIONARY_BYTES, type ZstdArea, ZstdWasm } from "../pack/zstd-wasm.js";
import { FrameSlots } from "./frame-slots.js";

/**
 * Decoded frames that are kept, 16 MiB: neighbours of a new frame mostly refer to neighbours. Twice as many save no
 * time: what is not decoded again goes into memory that is used for the first time.
 */
const CACHED_FRAMES = 256;

/** Sectors of one frame of the base that follow each other in a dictionary. */
export interface Piece {
  readonly frame: number;
  /** The first of them, counted in the frame. */
  readonly first: number;
  readonly count: number;
}

/**
 * Makes the dictionaries with which frames of a delta are decoded, in the memory of zstd: frames of the base are
 * decoded there, and their sectors never leave it.
 */
export class BaseDictionary {
  readonly #reader: FrameReader;
  readonly #decoder: FrameDecoder;
  readonly #zstd: ZstdWasm;
  readonly #cache: ZstdArea;
  /** What is in them is proven by what comes of it, or not at all. */
  readonly #slots = new FrameSlots(CACHED_FRAMES);

  private constructor(reader: FrameReader, decoder: FrameDecoder, zstd: ZstdWasm) {
    this.#reader = reader;
    this.#decoder = decoder;
    this.#zstd = zstd;
    this.#cache = zstd.allocate(CACHED_FRAMES * FRAME_BYTES);
  }

  static async create(reader: FrameReader, decoder: FrameDecoder): Promise<BaseDictionary> {
    return new BaseDictionary(reader, decoder, await ZstdWasm.load());
  }

  /** What the dictionary of these runs, at most 32 sectors that the base has, is made of. */
  piecesOf(runs: readonly Run[]): readonly Piece[] {
    const { table } = this.#reader;
    const pieces: Piece[] = [];
    for (const { first, count } of runs) {
      let sector = first;
      for (let frame = table.frameOf(first); sector < first + count; frame += 1) {
        const stop = Math.min(first + count, table.firstSector(frame + 1));
        pieces.push({ frame, first: sector - table.firstSector(frame), count: stop - sector });
        sector = stop;
      }
    }
    return pieces;
  }

  /**
   * Reads what several dictionaries need, neighbours at once, and decodes it. Of a frame that is damaged nothing is
   * said, and those behind it are left out: `make` comes to it again.
   */
  async prepare(pieces: readonly Piece[]): Promise<void> {
    try {
      await this.#loadMissing(pieces.slice(0, CACHED_FRAMES));
    } catch (err) {
      if (!isAppError(err, "ERR_PACK_INVALID")) throw err;
    }
  }

  /**
   * A dictionary, valid until the next call. Of frames that are damaged it may be wrong without notice: for who proves
   * what is decoded with it.
   * @throws {AppError} ERR_PACK_INVALID when a frame of the base is damaged
   */
  async make(pieces: readonly Piece[]): Promise<ZstdArea> {
    await this.#loadMissing(pieces);
    return this.#join(pieces);
  }

  /**
   * The same out of frames that are read again, and proven.
   * @throws {AppError} ERR_PACK_INVALID with `frame`, the first that is damaged
   */
  async makeProven(pieces: readonly Piece[]): Promise<ZstdArea> {
    await this.#reader.readProven(framesOf(pieces), (frame, bytes, isRaw) => {
      this.#slots.touch(frame);
      this.#load(frame, bytes, isRaw);
    });
    return this.#join(pieces);
  }

  async #loadMissing(pieces: readonly Piece[]): Promise<void> {
    const missing = pieces.filter(({ frame }) => !this.#slots.touch(frame));
    if (missing.length === 0) return;
    await this.#reader.readUnproven(framesOf(missing), (frame, bytes, isRaw) =>
      this.#load(frame, bytes, isRaw),
    );
  }

  #join(pieces: readonly Piece[]): ZstdArea {
    let length = DICTIONARY_PREFIX_BYTES;
    for (const { count } of pieces) length += count * SECTOR_BYTES;
    if (length > MAX_DICTIONARY_BYTES) throw new Error("unreachable: a long dictionary");
    const address = this.#decoder.dictionaryEnd - length;
    this.#zstd.bytes({ address, length: DICTIONARY_PREFIX_BYTES }).fill(0);
    let to = address + DICTIONARY_PREFIX_BYTES;
    for (const { frame, first, count } of pieces) {
      const bytes = count * SECTOR_BYTES;
      this.#zstd.copy(
        to,
        this.#cache.address + this.#slots.of(frame) * FRAME_BYTES + first * SECTOR_BYTES,
        bytes,
      );
      to += bytes;
    }
    return { address, length };
  }

  #load(frame: number, bytes: Uint8Array, isRaw: boolean): void {
    const address = this.#cache.address + this.#slots.take(frame) * FRAME_BYTES;
    if (isRaw) this.#zstd.bytes({ address, length: bytes.length }).set(bytes);
    else this.#decode(frame, bytes, address);
  }

  #decode(frame: number, packed: Uint8Array, address: number): void {
    try {
      this.#decoder.unpackInto(address, packed, this.#reader.table.rawLength(frame));
    } catch (cause) {
      if (!isAppError(cause, "ERR_PACK_INVALID")) throw cause;
      throw new AppError("ERR_PACK_INVALID", `frame ${frame} of the base cannot be decoded`, {
        cause,
        details: { frame },
      });
    }
  }
}

/** Rising. */
function framesOf(pieces: readonly Piece[]): Uint32Array {
  return Uint32Array.from(new Set(pieces.map(({ frame }) => frame))).toSorted();
}
