import { createHash, type Hash } from "node:crypto";
import { type AppError, equalBytes, MIB, rowBlocks } from "@ckmesh/core";
import type { RandomAccessFile } from "../files/random-access-file.js";

/** Read and hashed at a time. */
const STEP_BYTES = MIB;

/**
 * The hash of a pack. While one fills it follows the first byte that is missing, so that little is left to hash when
 * the last one has come. Bytes are read back: what is proven is what lies on the disk.
 */
export class PackHash {
  readonly #file: () => RandomAccessFile;
  readonly #start: number;
  readonly #admit: ((bytes: number, signal: AbortSignal) => Promise<void>) | undefined;
  readonly #buffers: Buffer[] = [];
  #hash: Hash;
  #position: number;
  #target: number;
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;
  #stopFollowing = new AbortController();

  /**
   * @param start where the hashed bytes begin: after the header
   * @param admit waits until so many bytes may be read in the background, or the signal is aborted
   */
  constructor(
    file: () => RandomAccessFile,
    start: number,
    admit?: (bytes: number, signal: AbortSignal) => Promise<void>,
  ) {
    this.#file = file;
    this.#admit = admit;
    this.#start = start;
    this.#hash = createHash("sha256");
    this.#position = start;
    this.#target = start;
  }

  /** Everything before `position` is final: whole steps of it are hashed in the background. */
  advance(position: number): void {
    this.#target = Math.max(this.#target, position);
    if (this.#isRunning || this.#target - this.#position < STEP_BYTES) return;
    this.#isRunning = true;
    this.#running = this.#follow();
  }

  /** Hashes nothing more in the background until the next `advance`; resolves when the step under way is through. */
  async pause(): Promise<void> {
    this.#target = this.#start;
    this.#stopFollowing.abort();
    await this.#running;
    this.#stopFollowing = new AbortController();
  }

  /** Something that may have been hashed has changed: from the beginning. */
  async reset(): Promise<void> {
    await this.pause();
    this.#hash = createHash("sha256");
    this.#position = this.#start;
  }

  /**
   * Hashes what is left up to the end of the pack and compares. One step is read while the other is hashed.
   * @param stopped why to stop, looked at between steps
   * @param admit waits until so many bytes may be read
   * @throws {AppError} what `stopped` returns; ERR_STORE_CORRUPT
   */
  async isRight(
    pack: { readonly length: number; readonly sha256: Uint8Array },
    stopped: () => AppError | undefined,
    onProgress?: (bytesDone: number) => void,
    admit?: (bytes: number) => Promise<void>,
  ): Promise<boolean> {
    // Where it has far to go, what follows cannot be stopped and tells nobody how far it is.
    await this.pause();
    const read = async (turn: number, offset: number): Promise<Uint8Array> => {
      const length = Math.min(STEP_BYTES, pack.length - offset);
      await admit?.(length);
      return await this.#read(turn % 2, offset, length);
    };
    let next = this.#position < pack.length ? read(0, this.#position) : undefined;
    for (let turn = 1; next !== undefined; turn++) {
      const err = stopped();
      if (err !== undefined) {
        await next.catch(() => {}); // its failure no longer matters
        throw err;
      }
      const bytes = await next;
      const end = this.#position + bytes.byteLength;
      next = end < pack.length ? read(turn, end) : undefined;
      this.#take(bytes);
      onProgress?.(end);
    }
    for (const buffer of this.#buffers.splice(0)) rowBlocks.give(buffer);
    return equalBytes(this.#hash.copy().digest(), pack.sha256);
  }

  /** Never rejects: what cannot be read now is read again by `isRight`, which tells. */
  async #follow(): Promise<void> {
    const { signal } = this.#stopFollowing;
    try {
      while (this.#target - this.#position >= STEP_BYTES) {
        // The hole that is filled last may be the first: then everything is read in one go.
        await this.#admit?.(STEP_BYTES, signal);
        if (signal.aborted) return;
        this.#take(await this.#read(0, this.#position, STEP_BYTES));
      }
    } catch {
      this.#target = this.#position;
    } finally {
      this.#isRunning = false;
    }
  }

  async #read(buffer: number, offset: number, length: number): Promise<Uint8Array> {
    this.#buffers[buffer] ??= rowBlocks.take(STEP_BYTES);
    const bytes = this.#buffers[buffer].subarray(0, length);
    await this.#file().readInto(bytes, offset);
    return bytes;
  }

  #take(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#position += bytes.byteLength;
  }
}
