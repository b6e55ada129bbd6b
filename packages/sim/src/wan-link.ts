import type { Clock } from "@ckmesh/core";

/** One range download over the WAN. */
export interface WanFlow {
  /** Bytes of the unit (row) under way. */
  readonly nextBytes: () => number;
  /** A whole row has arrived; false when it was the last. */
  readonly arrived: () => boolean;
  /** Own limit of the machine, bytes per ms. */
  readonly cap: number;
}

/** A link whose flows share its rate max-min fairly, each below its own cap. Counts the bytes it carried. */
export class WanLink {
  readonly #clock: Clock;
  readonly #flows = new Map<WanFlow, { done: number; rate: number }>();
  #rate: number;
  #settledAt = 0;
  #cancel: (() => void) | undefined;
  #isSettling = false;
  bytes = 0;

  /** @param rate bytes per ms */
  constructor(clock: Clock, rate: number) {
    this.#clock = clock;
    this.#rate = rate;
  }

  /** 0 cuts the link. */
  setRate(rate: number): void {
    this.#settle();
    this.#rate = rate;
    this.#plan();
  }

  add(flow: WanFlow): void {
    this.#settle();
    this.#flows.set(flow, { done: 0, rate: 0 });
    this.#plan();
  }

  remove(flow: WanFlow): void {
    this.#settle();
    this.#flows.delete(flow);
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
    this.#share();
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
    this.#plan();
  }

  #share(): void {
    let left = this.#rate;
    let count = this.#flows.size;
    for (const [flow, state] of [...this.#flows].toSorted(([a], [b]) => a.cap - b.cap)) {
      state.rate = Math.min(flow.cap, left / count);
      left -= state.rate;
      count -= 1;
    }
  }
}
