import type { Clock } from "@ckmesh/core";
import type { SimOrigin } from "./sim-origin.js";

/** One range download over the WAN. */
export interface WanFlow {
  /** Bytes of the unit (row) under way. */
  readonly nextBytes: () => number;
  /** Bytes of it that have not come; absent: without end. */
  readonly leftBytes?: () => number;
  /** A whole row has arrived; false when it was the last. */
  readonly arrived: () => boolean;
  /** Own limit of the machine, bytes per ms. */
  readonly cap: number;
}

/** A link whose flows share its rate max-min fairly, each below its own cap. Counts the bytes it carried. */
export class WanLink {
  readonly #clock: Clock;
  readonly #origin: SimOrigin | undefined;
  readonly #flows = new Map<WanFlow, { done: number; rate: number }>();
  readonly #queueMs: number;
  #rate: number;
  /** What the origin grants the site, bytes per ms. */
  #share = Number.POSITIVE_INFINITY;
  #settledAt = 0;
  #cancel: (() => void) | undefined;
  #isSettling = false;
  bytes = 0;

  /**
   * @param rate bytes per ms
   * @param queueMs time that a full queue in front of the link takes
   */
  constructor(clock: Clock, rate: number, origin?: SimOrigin, queueMs = 0) {
    this.#clock = clock;
    this.#queueMs = queueMs;
    this.#rate = rate;
    this.#origin = origin;
    origin?.join(this);
  }

  /** Bytes per ms that its flows could take. */
  get demand(): number {
    let caps = 0;
    for (const flow of this.#flows.keys()) caps += flow.cap;
    return Math.min(this.#rate, caps);
  }

  /** How long an answer that comes in `ms` will wait behind what the flows send: each fills the queue as far as it can. */
  delayIn(ms: number): number {
    if (this.#queueMs === 0) return 0;
    let bytes = 0;
    for (const flow of this.#flows.keys()) bytes += flow.leftBytes?.() ?? Number.POSITIVE_INFINITY;
    if (bytes === 0) return 0; // also of a link that is cut
    return Math.min(this.#queueMs, Math.max(0, bytes / this.#rate - ms));
  }

  /** 0 cuts the link. */
  setRate(rate: number): void {
    this.#settle();
    this.#rate = rate;
    this.#changed();
  }

  /** The origin grants this much, bytes per ms. */
  setShare(share: number): void {
    if (share === this.#share) return;
    this.#settle();
    this.#share = share;
    this.#plan();
  }

  add(flow: WanFlow): void {
    this.#settle();
    this.#flows.set(flow, { done: 0, rate: 0 });
    this.#changed();
  }

  remove(flow: WanFlow): void {
    this.#settle();
    this.#flows.delete(flow);
    this.#changed();
  }

  #changed(): void {
    this.#origin?.share();
    this.#plan();
  }

  /** Credits what arrived since the last look and hands over whole rows. */
  #settle(): void {
    const now = this.#clock.now();
    const elapsed = now - this.#settledAt;
    this.#settledAt = now;
    for (const state of this.#flows.values()) {
      state.done += state.rate * elapsed;
      this.bytes += state.rate * elapsed;
    }
  }

  #plan(): void {
    if (this.#isSettling) return;
    this.#divide();
    this.#cancel?.();
    let due = Number.POSITIVE_INFINITY;
    for (const [flow, { done, rate }] of this.#flows) {
      if (rate > 0) due = Math.min(due, Math.max(0, flow.nextBytes() - done) / rate);
    }
    if (Number.isFinite(due)) this.#cancel = this.#clock.after(due, () => this.#deliver());
  }

  #deliver(): void {
    this.#settle();
    this.#isSettling = true;
    const before = this.#flows.size;
    for (const [flow, state] of Array.from(this.#flows)) {
      // A thousandth of a byte: sums of shares are not exact.
      while (this.#flows.has(flow) && state.done >= flow.nextBytes() - 1e-3) {
        state.done -= flow.nextBytes();
        if (flow.arrived()) continue;
        this.bytes -= state.done;
        this.#flows.delete(flow);
      }
    }
    this.#isSettling = false;
    if (this.#flows.size === before) this.#plan();
    else this.#changed();
  }

  #divide(): void {
    let left = Math.min(this.#rate, this.#share);
    let count = this.#flows.size;
    for (const [flow, state] of [...this.#flows].toSorted(([a], [b]) => a.cap - b.cap)) {
      state.rate = Math.min(flow.cap, left / count);
      left -= state.rate;
      count -= 1;
    }
  }
}
