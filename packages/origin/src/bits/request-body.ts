import { AppError, type Clock } from "@ckmesh/core";
import type { ConnectionSource } from "./connection-source.js";

/** A sender that pauses longer is gone: Windows gives a request two minutes ([MC-BUP] 3.1.2.1). */
export const MAX_BODY_PAUSE_MS = 120_000;
/** What a body may take beside the time that its size allows. */
export const BODY_GRACE_MS = 120_000;
/** Slower senders are cut: IIS's default (`minBytesPerSecond`). */
export const MIN_BODY_BYTES_PER_SEC = 240;

/** The body of one request, of known length. Only time spent waiting for the sender counts against its limits. */
export class RequestBody {
  readonly #source: ConnectionSource;
  readonly #clock: Clock;
  readonly #sayContinue: (() => void) | undefined;
  #left: number;
  #received = 0;
  #waitedMs = 0;
  #isAskedFor = false;
  /** When it must have come to its end, on the clock. */
  #end = Infinity;
  #hasFailed = false;

  /** @param sayContinue tells a sender who waits for it that the body is wanted */
  constructor(source: ConnectionSource, clock: Clock, length: number, sayContinue: (() => void) | undefined) {
    this.#source = source;
    this.#clock = clock;
    this.#left = length;
    this.#sayContinue = sayContinue;
  }

  /** Bytes that were not read. */
  get left(): number {
    return this.#left;
  }

  get received(): number {
    return this.#received;
  }

  /** The next request begins behind the body, and it can be read up to there. */
  get isFollowable(): boolean {
    return !this.#hasFailed && (this.#left === 0 || this.#sayContinue === undefined || this.#isAskedFor);
  }

  /** From now on so much time is left for what comes, however fast it came before. */
  endWithin(ms: number): void {
    this.#end = this.#clock.now() + ms;
  }

  /** @throws {AppError} ERR_ABORTED, ERR_TIMEOUT */
  async read(): Promise<Buffer | undefined> {
    if (this.#left === 0) return undefined;
    if (!this.#isAskedFor) this.#sayContinue?.();
    this.#isAskedFor = true;
    const chunk = await this.#next();
    const bytes = chunk.length > this.#left ? chunk.subarray(0, this.#left) : chunk;
    if (bytes.length < chunk.length) this.#source.putBack(chunk.subarray(bytes.length));
    this.#left -= bytes.length;
    this.#received += bytes.length;
    return bytes;
  }

  async #next(): Promise<Buffer> {
    const start = this.#clock.now();
    const allowedMs = BODY_GRACE_MS + (this.#received * 1000) / MIN_BODY_BYTES_PER_SEC - this.#waitedMs;
    try {
      const chunk = await this.#source.next(
        Math.min(MAX_BODY_PAUSE_MS, allowedMs, Math.max(0, this.#end - start)),
      );
      if (chunk === undefined) throw new AppError("ERR_ABORTED", "the body ends too early");
      this.#waitedMs += this.#clock.now() - start;
      return chunk;
    } catch (err) {
      this.#hasFailed = true;
      throw err;
    }
  }
}
