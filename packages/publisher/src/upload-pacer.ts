import { BytePace, type Clock, wait } from "@ckmesh/core";

/** Parts per second: few against the cost of a timer, many against servers that watch for standstill. */
const PARTS_PER_SECOND = 8;
/** Largest and smallest part. */
const MAX_PART_BYTES = 256 * 1024;
const MIN_PART_BYTES = 1024;

/** Keeps an upload to a rate, evenly. */
export class UploadPacer {
  readonly #pace: BytePace;
  readonly #clock: Clock;
  readonly #partBytes: number;

  constructor(bytesPerSec: number, clock: Clock) {
    this.#pace = new BytePace(bytesPerSec, clock.now());
    this.#clock = clock;
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
    const left = this.#pace.msLeft(this.#clock.now());
    if (left > 0) await wait(this.#clock, left, signal);
    this.#pace.take(bytes, this.#clock.now());
  }
}
