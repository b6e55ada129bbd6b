import type { Clock } from "@ckmesh/core";
import { wait } from "./wait.js";

/** Parts per second: few against the cost of a timer, many against servers that watch for standstill. */
const PARTS_PER_SECOND = 8;
/** Largest and smallest part. */
const MAX_PART_BYTES = 256 * 1024;
const MIN_PART_BYTES = 1024;
/** What was not used for so long is lost, ms: a pause is not made up for by a burst. */
const MAX_ARREARS_MS = 250;

/** Keeps an upload to a rate, evenly. */
export class UploadPacer {
  readonly #bytesPerSec: number;
  readonly #clock: Clock;
  readonly #partBytes: number;
  /** Monotonic ms from which the next byte may go. */
  #dueAt: number;

  constructor(bytesPerSec: number, clock: Clock) {
    this.#bytesPerSec = bytesPerSec;
    this.#clock = clock;
    this.#dueAt = clock.now();
    const part = Math.floor(bytesPerSec / PARTS_PER_SECOND);
    this.#partBytes = Math.max(MIN_PART_BYTES, Math.min(MAX_PART_BYTES, part));
  }

  /** The same bytes in small parts, each when it may go. @throws {AppError} ERR_ABORTED */
  async *pace(parts: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    for await (const part of parts) {
      for (let at = 0; at < part.length; at += this.#partBytes) {
        const slice = part.subarray(at, at + this.#partBytes);
        await this.#admit(slice.length, signal);
        yield slice;
      }
    }
  }

  async #admit(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock.now();
    this.#dueAt = Math.max(this.#dueAt, now - MAX_ARREARS_MS);
    const left = this.#dueAt - now;
    this.#dueAt += (bytes * 1000) / this.#bytesPerSec;
    if (left > 0) await wait(this.#clock, left, signal);
  }
}
