import { setImmediate } from "node:timers/promises";
import { AppError, equalBytes, sha256 } from "@ckmesh/core";
import { FRAME_BYTES, FrameTable, HASH_BYTES, RAW_HASH_BYTES, SECTOR_BYTES } from "@ckmesh/image";
import { readFully } from "../files/file-io.js";
import { fileErrorCode } from "../files/store-error.js";
import type { FramesTask, PackSetup } from "../image-tasks.js";
import { type DecodedSetup, isRight, NOT_DECODED } from "../versions/decoded-frames.js";
import type { FrameDecoder } from "./frame-decoder.js";

/** Packed bytes read at once. */
const READ_BYTES = 1 << 20;
/** Frames that lie this close are read together. */
const GAP_BYTES = 32 * 1024;
/** Most frames between turns of the event loop: what only those free would grow to gigabytes in a loop without them. */
const FRAMES_PER_TURN = 32;
const NOTHING = new Uint8Array(0);

/** A frame as it lies here, valid during the call. @param isRaw it lies here decoded */
type FrameVisit = (frame: number, bytes: Uint8Array, isRaw: boolean) => void;

/** Reads, checks and decodes frames of a pack in a worker thread. */
export class FrameReader {
  readonly table: FrameTable;
  readonly #fd: number;
  readonly #checked: Uint8Array | undefined;
  readonly #decoded: DecodedSetup | undefined;
  readonly #decoder: FrameDecoder;
  readonly #buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  readonly #raw: Buffer | undefined;
  #framesInTurn = 0;

  constructor(pack: PackSetup, decoder: FrameDecoder) {
    this.table = FrameTable.open(pack.frames);
    this.#fd = pack.fd;
    this.#checked = pack.checked;
    this.#decoded = pack.decoded;
    this.#raw = pack.decoded && Buffer.allocUnsafeSlow(FRAME_BYTES);
    this.#decoder = decoder;
  }

  /** It notes which frames it has checked, so none may go unproven. */
  get isChecking(): boolean {
    return this.#checked !== undefined;
  }

  /**
   * Calls `visit` with each frame of `frames`, which rise; `raw` is empty without `decode`, and `packed` of a frame
   * that lies here decoded. Both are only valid during the call.
   * @throws {AppError} ERR_PACK_INVALID when a frame is not the one of the index
   */
  async read(
    frames: ArrayLike<number>,
    decode: boolean,
    visit: (frame: number, raw: Uint8Array, packed: Uint8Array) => void,
  ): Promise<void> {
    await this.#each(frames, decode, (frame, bytes, isRaw) => {
      if (isRaw) {
        visit(frame, bytes, NOTHING);
        return;
      }
      this.prove(frame, bytes);
      visit(frame, decode ? this.#open(frame, bytes) : NOTHING, bytes);
    });
  }

  /**
   * The frames as they lie here, proven.
   * @throws {AppError} ERR_PACK_INVALID when a frame is not the one of the index
   */
  async readProven(frames: ArrayLike<number>, visit: FrameVisit): Promise<void> {
    await this.#each(frames, true, (frame, bytes, isRaw) => {
      if (!isRaw) this.prove(frame, bytes);
      visit(frame, bytes, isRaw);
    });
  }

  /**
   * The frames as they lie here, without looking at the hashes of packed ones: for who proves what is made of them.
   * @throws {AppError} ERR_PACK_INVALID when a frame cannot be read
   */
  async readUnproven(frames: ArrayLike<number>, visit: FrameVisit): Promise<void> {
    await this.#each(frames, true, visit);
  }

  /**
   * The decoded frames, as `readUnproven`.
   * @throws {AppError} ERR_PACK_INVALID when a frame cannot be read or decoded
   */
  async decodeUnproven(
    frames: ArrayLike<number>,
    visit: (frame: number, raw: Uint8Array) => void,
  ): Promise<void> {
    await this.readUnproven(frames, (frame, bytes, isRaw) => {
      visit(frame, isRaw ? bytes : this.#decoder.unpack(bytes, this.table.rawLength(frame)));
    });
  }

  async #each(frames: ArrayLike<number>, takesDecoded: boolean, visit: FrameVisit): Promise<void> {
    const { table } = this;
    for (let i = 0; i < frames.length; ) {
      const first = frames[i] ?? 0;
      if (takesDecoded && this.#isDecoded(first)) {
        visit(first, this.#readDecoded(first), true);
        i += 1;
        await this.#endTurn(1);
        continue;
      }
      const start = table.offset(first);
      let next = i;
      let end = start;
      while (next < frames.length && next - i < FRAMES_PER_TURN) {
        const frame = frames[next] ?? 0;
        if (takesDecoded && this.#isDecoded(frame)) break;
        if (table.offset(frame) - end > GAP_BYTES || table.offset(frame + 1) - start > READ_BYTES) break;
        end = table.offset(frame + 1);
        next += 1;
      }
      let problem = this.#fill(start, end);
      if (problem !== undefined && next > i + 1) {
        // Alone: so that the frame that is named is the one that cannot be read.
        next = i + 1;
        end = table.offset(first + 1);
        problem = this.#fill(start, end);
      }
      if (problem !== undefined) {
        throw new AppError("ERR_PACK_INVALID", `frame ${first} at byte ${start} of the pack ${problem}`, {
          details: { frame: first },
        });
      }
      const count = next - i;
      for (; i < next; i += 1) {
        const frame = frames[i] ?? 0;
        const packed = this.#buffer.subarray(table.offset(frame) - start, table.offset(frame + 1) - start);
        visit(frame, packed, false);
      }
      await this.#endTurn(count);
    }
  }

  /** So many frames more were visited. */
  async #endTurn(frames: number): Promise<void> {
    this.#framesInTurn += frames;
    if (this.#framesInTurn < FRAMES_PER_TURN) return;
    this.#framesInTurn = 0;
    await setImmediate();
  }

  /** Reads bytes of the pack into the buffer; what is wrong if that is not possible. */
  #fill(start: number, end: number): string | undefined {
    try {
      return readFully(this.#fd, this.#buffer.subarray(0, end - start), start)
        ? undefined
        : "lies behind its end: it is truncated";
    } catch (err) {
      if (fileErrorCode(err) === "EIO") return "cannot be read: check the disk";
      throw err;
    }
  }

  #isDecoded(frame: number): boolean {
    return (this.#decoded?.offsets[frame] ?? NOT_DECODED) !== NOT_DECODED;
  }

  #readDecoded(frame: number): Uint8Array {
    const { table } = this;
    if (this.#decoded === undefined || this.#raw === undefined)
      throw new Error("unreachable: none is decoded");
    const raw = this.#raw.subarray(0, table.rawLength(frame));
    const isThere = readFully(this.#decoded.fd, raw, this.#decoded.offsets[frame] ?? 0);
    if (isThere && isRight(table, frame, raw)) return raw;
    throw new AppError("ERR_PACK_INVALID", `decoded frame ${frame} was damaged on the disk`, {
      details: { frame },
    });
  }

  /** @throws {AppError} ERR_PACK_INVALID when this is not the frame of the index */
  prove(frame: number, packed: Uint8Array): void {
    if (!equalBytes(sha256(packed), this.table.hash(frame))) {
      throw new AppError(
        "ERR_PACK_INVALID",
        `frame ${frame} at byte ${this.table.offset(frame)} of the pack does not match its hash; fetch the pack again`,
        { details: { frame } },
      );
    }
  }

  #open(frame: number, packed: Uint8Array): Uint8Array {
    const raw = this.#decoder.unpack(packed, this.table.rawLength(frame));
    if (this.#checked?.[frame] === 0) {
      if (!equalBytes(sha256(raw).subarray(0, RAW_HASH_BYTES), this.table.rawHash(frame))) {
        throw new AppError(
          "ERR_PACK_INVALID",
          `frame ${frame} does not decode to the bytes that its index names`,
          {
            details: { frame },
          },
        );
      }
      this.#checked[frame] = 1;
    }
    return raw;
  }
}

/** Checks a run of frames. */
export async function checkFrames(reader: FrameReader, { first, count, decode }: FramesTask): Promise<void> {
  await reader.read(sequence(first, count), decode, () => {});
}

/** Checks a run of frames and hashes their sectors: SHA-256, 8 words each, in shared memory. */
export async function hashFrames(reader: FrameReader, { first, count }: FramesTask): Promise<Uint32Array> {
  const base = reader.table.firstSector(first);
  const sectors = reader.table.firstSector(first + count) - base;
  const hashes = Buffer.from(new SharedArrayBuffer(sectors * HASH_BYTES));
  await reader.read(sequence(first, count), true, (frame, raw) => {
    const start = reader.table.firstSector(frame) - base;
    for (let i = 0; i < raw.length / SECTOR_BYTES; i += 1) {
      hashes.set(sha256(raw.subarray(i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES)), (start + i) * HASH_BYTES);
    }
  });
  return new Uint32Array(hashes.buffer, hashes.byteOffset, hashes.byteLength / 4);
}

function sequence(first: number, count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => first + i);
}
