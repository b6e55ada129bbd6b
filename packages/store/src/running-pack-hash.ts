import { createHash, type Hash } from "node:crypto";
import { type AppError, equalBytes, MIB, rowBlocks } from "@ckmesh/core";
import type { RandomAccessFile } from "./random-access-file.js";

/** Read and hashed at a time. */
const STEP_BYTES = MIB;

/**
 * The hash of a pack while it fills: follows the first byte that is missing, so that little is left to hash when the
 * last one has come. Bytes are read back: what is proven is what lies on the disk.
 */
export class RunningPackHash {
  readonly #file: () => RandomAccessFile;
  readonly #start: number;
  #buffer: Buffer | undefined;
  #hash: Hash;
  #position: number;
  #target: number;
  #running: Promise<void> = Promise.resolve();
  #isRunning = false;

  /** @param start where the hashed bytes begin: after the header */
  constructor(file: () => RandomAccessFile, start: number) {
    this.#file = file;
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

  /** Something that may have been hashed has changed: from the beginning. */
  async reset(): Promise<void> {
    this.#target = this.#start;
    await this.#running;
    this.#hash = createHash("sha256");
    this.#position = this.#start;
  }

  /**
   * Hashes what is left up to the end of the pack and compares.
   * @param stopped why to stop, looked at between steps
   * @throws {AppError} what `stopped` returns; ERR_STORE_CORRUPT
   */
  async isRight(
    pack: { readonly length: number; readonly sha256: Uint8Array },
    stopped: () => AppError | undefined,
    onProgress?: (bytesDone: number) => void,
  ): Promise<boolean> {
    await this.#running;
    while (this.#position < pack.length) {
      const err = stopped();
      if (err !== undefined) throw err;
      await this.#step(Math.min(STEP_BYTES, pack.length - this.#position));
      onProgress?.(this.#position);
    }
    if (this.#buffer !== undefined) rowBlocks.give(this.#buffer);
    this.#buffer = undefined;
    return equalBytes(this.#hash.copy().digest(), pack.sha256);
  }

  /** Never rejects: what cannot be read now is read again by `isRight`, which tells. */
  async #follow(): Promise<void> {
    try {
      while (this.#target - this.#position >= STEP_BYTES) await this.#step(STEP_BYTES);
    } catch {
      this.#target = this.#position;
    } finally {
      this.#isRunning = false;
    }
  }

  async #step(length: number): Promise<void> {
    this.#buffer ??= rowBlocks.take(STEP_BYTES);
    const bytes = this.#buffer.subarray(0, length);
    await this.#file().readInto(bytes, this.#position);
    this.#hash.update(bytes);
    this.#position += length;
  }
}
