import { TokenBucket } from "./token-bucket.js";

/** Specs: peer wire 2. A TLS handshake costs about 0.9 ms of CPU. */
const PER_SOURCE = { ratePerSec: 10, burst: 10 };
export const MAX_HALF_OPEN = 50;
/** One address that never finishes a handshake must not hold the places of all others. */
export const MAX_HALF_OPEN_PER_SOURCE = 10;
/** Sources remembered; a LAN has fewer. */
const MAX_SOURCES = 4096;
const FORGET_MS = 10_000;

interface Source {
  readonly bucket: TokenBucket;
  at: number;
  halfOpen: number;
}

/** Keeps strangers from spending our CPU and descriptors: handshakes per source and half-open ones. */
export class HandshakeLimits {
  readonly #sources = new Map<string, Source>();
  #halfOpen = 0;

  /** No more half-open connections are possible. */
  get isFull(): boolean {
    return this.#halfOpen >= MAX_HALF_OPEN;
  }

  /** Why a new connection from `address` must go; undefined when it may stay. */
  refuse(address: string, now: number): string | undefined {
    if (this.isFull) return "too many half-open connections";
    let source = this.#sources.get(address);
    if (source === undefined) {
      if (this.#sources.size >= MAX_SOURCES) this.#forget(now);
      if (this.#sources.size >= MAX_SOURCES) return "too many sources";
      source = {
        bucket: new TokenBucket(PER_SOURCE.ratePerSec, PER_SOURCE.burst, now),
        at: now,
        halfOpen: 0,
      };
      this.#sources.set(address, source);
    }
    source.at = now;
    if (source.halfOpen >= MAX_HALF_OPEN_PER_SOURCE)
      return "too many half-open connections from this address";
    return source.bucket.take(now) ? undefined : "too many connections from this address";
  }

  /** A connection that was not refused begins its handshake. */
  opened(address: string): void {
    this.#count(address, 1);
  }

  /** A half-open connection came up or went away. */
  settled(address: string): void {
    this.#count(address, -1);
  }

  #count(address: string, change: 1 | -1): void {
    this.#halfOpen += change;
    const source = this.#sources.get(address);
    if (source !== undefined) source.halfOpen += change;
  }

  #forget(now: number): void {
    for (const [address, source] of this.#sources) {
      if (now - source.at > FORGET_MS && source.halfOpen === 0) this.#sources.delete(address);
    }
  }
}
