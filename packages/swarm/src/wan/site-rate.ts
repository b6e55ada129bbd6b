import { MAX_METERED_CLAIMS, SITE_RATE_MS } from "../constants.js";

/** Measures what a whole site fetches over the WAN: own bytes, and those that the claims of others show. */
export class SiteRate {
  readonly #onMeasured: (bytesPerSec: number, now: number) => void;
  /** Bytes done of each claim, as last heard. */
  readonly #claims = new Map<string, number>();
  #bytes = 0;
  #since = 0;
  #lastAt = Number.NEGATIVE_INFINITY;

  /** @param onMeasured called with the mean rate of some seconds in which bytes came, again and again */
  constructor(onMeasured: (bytesPerSec: number, now: number) => void) {
    this.#onMeasured = onMeasured;
  }

  /** A claim of another client says how far it is. */
  heard(claim: string, bytesDone: number, now: number): void {
    const known = this.#claims.get(claim) ?? 0;
    this.#claims.delete(claim);
    this.#claims.set(claim, Math.max(known, bytesDone));
    for (const oldest of this.#claims.keys()) {
      if (this.#claims.size <= MAX_METERED_CLAIMS) break;
      this.#claims.delete(oldest);
    }
    if (bytesDone > known) this.add(bytesDone - known, now);
  }

  add(bytes: number, now: number): void {
    if (now - this.#lastAt > SITE_RATE_MS) {
      // Nothing came for a while: what came now was on its way before the measure begins.
      this.#since = now;
      this.#bytes = 0;
    } else {
      this.#bytes += bytes;
    }
    this.#lastAt = now;
    if (now - this.#since < SITE_RATE_MS) return;
    this.#onMeasured((this.#bytes * 1000) / (now - this.#since), now);
    this.#since = now;
    this.#bytes = 0;
  }
}
