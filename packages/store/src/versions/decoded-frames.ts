import { type FileHandle, open, rm } from "node:fs/promises";
import { equalBytes, sha256 } from "@ckmesh/core";
import { FRAME_BYTES, type FrameTable, RAW_HASH_BYTES } from "@ckmesh/image";
import { sharedBytes } from "../files/buffer-pool.js";
import { RandomAccessFile } from "../files/random-access-file.js";
import { onDisk } from "../files/store-error.js";

/** Before the bytes of each frame: its number, u32 little-endian. */
export const DECODED_HEAD_BYTES = 4;
/** In the place of an offset: the frame is not there. */
export const NOT_DECODED = -1;

/** Decoded frames as worker threads read them. */
export interface DecodedSetup {
  readonly fd: number;
  /** Place of each frame in the file, `NOT_DECODED` for those that are not there; shared. */
  readonly offsets: Float64Array;
}

/** The same with the file that the caller closes. */
export interface OpenDecoded {
  readonly setup: DecodedSetup;
  readonly handle: FileHandle;
}

/**
 * Decoded frames of a version that this machine cannot pack as its publisher did: enough for its disk, and for
 * deltas that start from it. A file of its own beside the pack, to which frames are added; each is proven by its
 * raw hash when it is added, when the file is opened again, and when it is read.
 */
export class DecodedFrames {
  readonly #path: string;
  readonly #file: RandomAccessFile;
  readonly #table: FrameTable;
  readonly #offsets: Float64Array;
  readonly #frames = new Set<number>();
  #end = 0;
  #adding: Promise<void> = Promise.resolve();

  private constructor(path: string, file: RandomAccessFile, table: FrameTable) {
    this.#path = path;
    this.#file = file;
    this.#table = table;
    this.#offsets = new Float64Array(sharedBytes(table.count * 8).buffer).fill(NOT_DECODED);
  }

  /** Opens the file with all that is right in it, or begins one. @throws {AppError} ERR_STORE_FULL */
  static async open(path: string, table: FrameTable): Promise<DecodedFrames> {
    const frames = new DecodedFrames(path, await RandomAccessFile.open(path, "create"), table);
    await frames.#load();
    return frames;
  }

  /** Those that are there; live. */
  get frames(): ReadonlySet<number> {
    return this.#frames;
  }

  /** Takes a frame whose raw hash the caller has just checked. @throws {AppError} ERR_STORE_FULL */
  async add(frame: number, raw: Uint8Array): Promise<void> {
    const step = this.#adding.then(() => this.#add(frame, raw));
    // The next one waits for this one, and does not fail with it.
    this.#adding = step.catch(() => {});
    await step;
  }

  /** Proven again; undefined when it is not there, or was damaged. */
  async read(frame: number): Promise<Uint8Array | undefined> {
    const offset = this.#offsets[frame] ?? NOT_DECODED;
    if (offset === NOT_DECODED) return undefined;
    const raw = await this.#file.read(offset, this.#table.rawLength(frame));
    return isRight(this.#table, frame, raw) ? raw : undefined;
  }

  /** For worker threads: a file of its own, which the caller closes. */
  async openSetup(): Promise<OpenDecoded> {
    const handle = await onDisk(this.#path, () => open(this.#path, "r"));
    return { setup: { fd: handle.fd, offsets: this.#offsets }, handle };
  }

  async sync(): Promise<void> {
    await this.#file.sync();
  }

  async close(): Promise<void> {
    await this.#adding;
    await this.#file.close();
  }

  /** The packed frames are all here. */
  async remove(): Promise<void> {
    await this.close();
    await onDisk(this.#path, () => rm(this.#path, { force: true }));
  }

  async #add(frame: number, raw: Uint8Array): Promise<void> {
    if (this.#frames.has(frame)) return;
    const record = Buffer.allocUnsafe(DECODED_HEAD_BYTES + raw.length);
    record.writeUInt32LE(frame);
    record.set(raw, DECODED_HEAD_BYTES);
    await this.#file.write(this.#end, record);
    this.#took(frame, record.length);
  }

  /** Stops at the first record that is not right: a crash has cut it, and what is added next takes its place. */
  async #load(): Promise<void> {
    const size = await this.#file.size();
    while (this.#end + DECODED_HEAD_BYTES < size) {
      const length = Math.min(DECODED_HEAD_BYTES + FRAME_BYTES, size - this.#end);
      const record = Buffer.from(await this.#file.read(this.#end, length));
      const frame = record.readUInt32LE();
      if (frame >= this.#table.count) return;
      const raw = record.subarray(DECODED_HEAD_BYTES, DECODED_HEAD_BYTES + this.#table.rawLength(frame));
      if (!isRight(this.#table, frame, raw)) return;
      this.#took(frame, DECODED_HEAD_BYTES + raw.length);
    }
  }

  #took(frame: number, recordBytes: number): void {
    this.#offsets[frame] = this.#end + DECODED_HEAD_BYTES;
    this.#frames.add(frame);
    this.#end += recordBytes;
  }
}

/** True if these are the decoded bytes of the frame. */
export function isRight(table: FrameTable, frame: number, raw: Uint8Array): boolean {
  return (
    raw.length === table.rawLength(frame) &&
    equalBytes(sha256(raw).subarray(0, RAW_HASH_BYTES), table.rawHash(frame))
  );
}
