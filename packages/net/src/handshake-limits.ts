import { TokenBucket } from "./token-bucket.js";

/** Specs: peer wire 2. A TLS handshake costs about 0.9 ms of CPU. */
const PER_SOURCE = { ratePerSec: 10, burst: 10 };
export const MAX_HALF_OPEN = 50;
/** Sources remembered; a LAN has fewer. */
const MAX_SOURCES = 4096;
const FORGET_MS = 10_000;

/** Keeps strangers from spending our CPU and descriptors: handshakes per source and half-open ones. */
export class HandshakeLimits {
  readonly #sources = new Map<string, { readonly bucket: TokenBucket; at: number }>();
  #halfOpen = 0;

  /** Why a new connection from `address` must go; undefined when it may stay. */
  refuse(address: string, now: number): string | undefined {
    if (this.#halfOpen >= MAX_HALF_OPEN) return "too many half-open connections";
    let source = this.#sources.get(address);
    if (source === undefined) {
      if (this.#sources.size >= MAX_SOURCES) this.#forget(now);
      if (this.#sources.size >= MAX_SOURCES) return "too many sources";
      source = { bucket: new TokenBucket(PER_SOURCE.ratePerSec, PER_SOURCE.burst, now), at: now };
      this.#sources.set(address, source);
    }
    source.at = now;
    return source.bucket.take(now) ? undefined : "too many connections from this address";
  }

  opened(): void {
    this.#halfOpen += 1;
  }

  /** A half-open connection came up or went away. */
  settled(): void {
    this.#halfOpen -= 1;
  }

  #forget(now: number): void {
    for (const [address, source] of this.#sources) {
      if (now - source.at > FORGET_MS) this.#sources.delete(address);
    }
  }
}
