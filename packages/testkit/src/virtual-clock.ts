import type { Clock } from "@ckmesh/core";

interface Timer {
  readonly due: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** A clock that moves only when told; timers fire in due order, ties in the order they were set. */
export class VirtualClock implements Clock {
  #now = 0;
  #wallOffset: number;
  #order = 0;
  /** Binary heap by due time; cancelled timers stay until they reach the top. */
  readonly #heap: Timer[] = [];

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
    this.#order += 1;
    const timer: Timer = { due: this.#now + ms, order: this.#order, run };
    this.#push(timer);
    return () => {
      timer.run = undefined;
    };
  }

  /** Moves both clocks to `now + ms`, firing every timer on the way, also those that a timer sets. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.due > end) break;
      this.#pop();
      if (next.run === undefined) continue;
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

  #push(timer: Timer): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || isBefore(above, timer)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const [a, b] = [heap[left], heap[left + 1]];
      if (a === undefined) break;
      const isRight = b !== undefined && isBefore(b, a);
      const child = isRight ? b : a;
      if (isBefore(last, child)) break;
      heap[at] = child;
      at = isRight ? left + 1 : left;
    }
    heap[at] = last;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}
