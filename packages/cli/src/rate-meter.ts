/** How long a rate looks back, ms: long enough to be calm, short enough to follow a change. */
const WINDOW_MS = 10_000;

/** Rate and remaining time of a growing number of bytes. */
export class RateMeter {
  #samples: { readonly at: number; readonly bytes: number }[] = [];

  /** Notes that `bytes` are done at `now` (monotonic ms). Fewer bytes than before start afresh. */
  add(bytes: number, now: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ at: now, bytes });
    // One sample older than the window stays, so that the window is always covered.
    while ((this.#samples[1]?.at ?? now) < now - WINDOW_MS) this.#samples.shift();
  }

  /** Bytes per second over the window; 0 before two samples differ in time. */
  get bytesPerSec(): number {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)];
    if (first === undefined || last === undefined || last.at <= first.at) return 0;
    return ((last.bytes - first.bytes) * 1000) / (last.at - first.at);
  }

  /** Seconds until `total`; undefined while nothing moves. */
  etaSeconds(total: number): number | undefined {
    const rate = this.bytesPerSec;
    const done = this.#samples.at(-1)?.bytes ?? 0;
    return rate > 0 ? Math.max(0, total - done) / rate : undefined;
  }
}
