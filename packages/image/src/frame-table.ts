import { AppError } from "@ckmesh/core";
import {
  FRAME_RECORD_BYTES,
  FRAME_SECTORS,
  HASH_BYTES,
  PACK_HEADER_BYTES,
  RAW_HASH_BYTES,
  SECTOR_BYTES,
} from "./constants.js";
import { isOpaquePack, type PackFacts } from "./index-head.js";

const COUNT_AT = 3;
const HASH_AT = 4;
const RAW_HASH_AT = HASH_AT + HASH_BYTES;

/** A frame table in shared memory, for other threads: they need not look at every record again. */
export interface SharedFrameTable {
  readonly records: Uint8Array;
  readonly isOpaque: boolean;
  readonly offsets: Float64Array;
  readonly firstSectors: Uint32Array;
}

/**
 * The `frames` section: where each frame lies in the pack and what it must hash to. Reads the records in
 * place and adds 12 bytes per frame. A frame whose packed length equals its raw length is stored as it is.
 */
export class FrameTable {
  readonly count: number;
  /** Bytes of all frames together. */
  readonly packedBytes: number;
  /** Unique sectors of all frames together. */
  readonly sectors: number;
  readonly #records: Uint8Array;
  readonly #isOpaque: boolean;
  /** Offset in the pack by frame, and the end. */
  readonly #offsets: Float64Array;
  /** First unique sector by frame, and the end. */
  readonly #firstSectors: Uint32Array;

  private constructor({ records, isOpaque, offsets, firstSectors }: SharedFrameTable) {
    this.count = records.length / FRAME_RECORD_BYTES;
    this.#records = records;
    this.#isOpaque = isOpaque;
    this.#offsets = offsets;
    this.#firstSectors = firstSectors;
    this.packedBytes = this.offset(this.count) - this.offset(0);
    this.sectors = this.firstSector(this.count);
  }

  /**
   * Checks every record and that all add up to the pack and the counts of the head. Keeps `framesSection`,
   * which must not change any more.
   * @throws {AppError} ERR_INDEX_INVALID
   */
  static decode(framesSection: Uint8Array, head: PackFacts): FrameTable {
    const isOpaque = isOpaquePack(head);
    if (framesSection.length !== head.counts.frames * FRAME_RECORD_BYTES) {
      throw invalid(`${framesSection.length} bytes are not ${head.counts.frames} records`);
    }
    const { frames } = head.counts;
    const offsets = new Float64Array(frames + 1);
    const firstSectors = new Uint32Array(frames + 1);
    let offset = isOpaque ? 0 : PACK_HEADER_BYTES;
    let sector = 0;
    offsets[0] = offset;
    for (let i = 0; i < frames; i += 1) {
      const at = i * FRAME_RECORD_BYTES;
      const packed = readU24(framesSection, at);
      const sectors = framesSection[at + COUNT_AT] ?? 0;
      const isFit = isOpaque
        ? packed > 0 && Math.ceil(packed / SECTOR_BYTES) === sectors
        : packed > 0 && packed <= sectors * SECTOR_BYTES;
      if (!isFit || sectors > FRAME_SECTORS) {
        throw invalid(`frame ${i} cannot hold ${sectors} sectors in ${packed} bytes`);
      }
      offset += packed;
      sector += sectors;
      offsets[i + 1] = offset;
      firstSectors[i + 1] = sector;
    }
    const table = new FrameTable({ records: framesSection, isOpaque, offsets, firstSectors });
    const end = table.offset(table.count);
    if (end !== head.pack.length) {
      throw invalid(`its frames end at ${end}, the pack at ${head.pack.length}`);
    }
    if (table.sectors !== head.counts.sectors) {
      throw invalid(`its frames hold ${table.sectors} sectors, the head says ${head.counts.sectors}`);
    }
    return table;
  }

  /** The table of another thread. */
  static open(table: SharedFrameTable): FrameTable {
    return new FrameTable(table);
  }

  /** For other threads: a copy of what does not lie in shared memory. */
  share(): SharedFrameTable {
    const offsets = inSharedMemory(this.#offsets);
    const firstSectors = inSharedMemory(this.#firstSectors);
    return {
      records: inSharedMemory(this.#records),
      isOpaque: this.#isOpaque,
      offsets: new Float64Array(offsets.buffer, offsets.byteOffset, this.#offsets.length),
      firstSectors: new Uint32Array(firstSectors.buffer, firstSectors.byteOffset, this.#firstSectors.length),
    };
  }

  /** Byte offset of a frame in the pack; of `count`, the end of the pack. */
  offset(frame: number): number {
    return this.#offsets[frame] ?? 0;
  }

  packedLength(frame: number): number {
    return readU24(this.#records, frame * FRAME_RECORD_BYTES);
  }

  /** Unique sectors in a frame, 1 to 16. */
  sectorCount(frame: number): number {
    return this.#records[frame * FRAME_RECORD_BYTES + COUNT_AT] ?? 0;
  }

  /** Bytes of a frame when decoded. */
  rawLength(frame: number): number {
    return this.#isOpaque ? this.packedLength(frame) : this.sectorCount(frame) * SECTOR_BYTES;
  }

  /** SHA-256 of the packed bytes; a view. */
  hash(frame: number): Uint8Array {
    const at = frame * FRAME_RECORD_BYTES + HASH_AT;
    return this.#records.subarray(at, at + HASH_BYTES);
  }

  /** First 16 bytes of the SHA-256 of the raw bytes; a view. */
  rawHash(frame: number): Uint8Array {
    const at = frame * FRAME_RECORD_BYTES + RAW_HASH_AT;
    return this.#records.subarray(at, at + RAW_HASH_BYTES);
  }

  /** All records: the section that it was made of. */
  get records(): Uint8Array {
    return this.#records;
  }

  /** The 52 bytes of a frame's record; a view. */
  record(frame: number): Uint8Array {
    return this.#records.subarray(frame * FRAME_RECORD_BYTES, (frame + 1) * FRAME_RECORD_BYTES);
  }

  /** How this frame is packed: a frame that zstd does not make smaller is stored. */
  codecName(frame: number): "zstd" | "store" {
    return this.packedLength(frame) === this.rawLength(frame) ? "store" : "zstd";
  }

  /** Number of the first unique sector in a frame; of `count`, the number of all. */
  firstSector(frame: number): number {
    return this.#firstSectors[frame] ?? 0;
  }

  /** The frame that holds a unique sector. */
  frameOf(sector: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.firstSector(middle) <= sector) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The packed lengths of all frames. */
  packedLengths(): Uint32Array {
    const lengths = new Uint32Array(this.count);
    for (let i = 0; i < this.count; i += 1) lengths[i] = this.packedLength(i);
    return lengths;
  }
}

/** Writes one record of the `frames` section into `target`. */
export function writeFrameRecord(
  target: Uint8Array,
  frame: {
    readonly packedLength: number;
    readonly sectors: number;
    readonly hash: Uint8Array;
    readonly rawHash: Uint8Array;
  },
): void {
  target[0] = frame.packedLength & 0xff;
  target[1] = (frame.packedLength >>> 8) & 0xff;
  target[2] = frame.packedLength >>> 16;
  target[COUNT_AT] = frame.sectors;
  target.set(frame.hash.subarray(0, HASH_BYTES), HASH_AT);
  target.set(frame.rawHash.subarray(0, RAW_HASH_BYTES), RAW_HASH_AT);
}

function inSharedMemory({ buffer, byteOffset, byteLength }: NodeJS.ArrayBufferView): Uint8Array {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  if (buffer instanceof SharedArrayBuffer) return bytes;
  const copy = new Uint8Array(new SharedArrayBuffer(byteLength));
  copy.set(bytes);
  return copy;
}

function readU24(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
}

function invalid(problem: string): AppError {
  return new AppError("ERR_INDEX_INVALID", `section frames is damaged: ${problem}`);
}
