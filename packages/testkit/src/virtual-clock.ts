import type { Clock } from "@ckmesh/core";

/** A clock that moves only when told; timers fire in due order, ties in the order they were set. */
export class VirtualClock implements Clock {
  #now = 0;
  #wallOffset: number;
  #timers: { readonly due: number; readonly run: () => void }[] = [];

  /** @param wall Unix ms at the start */
  constructor(wall = 1_700_000_000_000) {
    this.#wallOffset = wall;
  }

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.#now + this.#wallOffset;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { due: this.#now + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((t) => t !== timer);
    };
  }

  /** Moves both clocks to `now + ms`, firing every timer on the way, also those that a timer sets. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.due - b.due)[0];
      if (next === undefined || next.due > end) break;
      this.#timers = this.#timers.filter((t) => t !== next);
      this.#now = Math.max(this.#now, next.due);
      next.run();
    }
    this.#now = end;
  }

  /** The machine sleeps: only the wall clock moves. */
  sleep(ms: number): void {
    this.#wallOffset += ms;
  }

  /** Somebody sets the wall clock by `ms`, either way. */
  setWall(ms: number): void {
    this.#wallOffset += ms;
  }

  /** The event loop is blocked for `ms`: both clocks move, timers fire late, in due order, at the end. */
  stall(ms: number): void {
    this.#now += ms;
    this.advance(0);
  }
}
