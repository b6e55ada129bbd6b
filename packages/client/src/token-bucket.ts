import { AppError, type Clock } from "@ckmesh/core";

/** Bytes that may pass at once after a pause: a quarter of a second's worth, at least this. */
const MIN_BURST_BYTES = 64 * 1024;

/**
 * Holds the mean rate of several takers at `bytesPerSec`. Paid after use: a taker waits until what it took is
 * covered, so that one part larger than the burst passes too. Waiters go in order.
 */
export class TokenBucket {
  readonly #rate: number;
  readonly #burst: number;
  readonly #clock: Clock;
  #tokens: number;
  #at: number;

  constructor(bytesPerSec: number, clock: Clock) {
    this.#rate = bytesPerSec;
    this.#burst = Math.max(MIN_BURST_BYTES, bytesPerSec / 4);
    this.#clock = clock;
    this.#tokens = this.#burst;
    this.#at = clock.now();
  }

  /** Takes `bytes` and resolves when they are covered. @throws {AppError} ERR_ABORTED */
  take(bytes: number, signal?: AbortSignal): Promise<void> | undefined {
    const now = this.#clock.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1000) * this.#rate) - bytes;
    this.#at = now;
    if (this.#tokens >= 0) return undefined;
    return wait(this.#clock, (-this.#tokens / this.#rate) * 1000, signal);
  }
}

/** Resolves after `ms`. @throws {AppError} ERR_ABORTED */
export async function wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const stop = (): void => {
      cancel();
      reject(new AppError("ERR_ABORTED", "waiting was stopped"));
    };
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener("abort", stop);
      resolve();
    });
    if (signal?.aborted === true) stop();
    else signal?.addEventListener("abort", stop, { once: true });
  });
}
