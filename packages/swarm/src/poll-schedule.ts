import type { Random } from "@ckmesh/core";

/** The check of the origin: every 900 s (DESIGN section 8). */
export const POLL_INTERVAL_MS = 900_000;
/** Timers sleep with the machine, so nothing waits longer than this without a look at both clocks. */
const MAX_WAIT_MS = 30_000;
/** A larger step of the wall clock against the monotonic one was a sleep or somebody setting the clock. */
const JUMP_MS = 60_000;
/** After a sleep: networks need a moment, and a site must not ask as one. */
const SETTLE_MIN_MS = 1000;
const SETTLE_SPREAD_MS = 10_000;

export interface PollOptions {
  readonly random: Random;
  /** Monotonic and wall time, ms, at the start. */
  readonly now: number;
  readonly wall: number;
  readonly intervalMs?: number;
  /** 0 to 1: this client's own phase, so that a restart does not move it; absent: by chance. */
  readonly phase?: number;
  /** Delay of the first check; absent: at this client's own phase of the interval. */
  readonly firstMs?: number;
}

/**
 * When to check: at phase + k x interval, the phase random per client. Keeps a due time on both clocks, so
 * that a sleep ends in one check soon after waking, a clock set forward in one early check, a clock set back
 * in none lost. Missed checks are never made up for; one runs at a time.
 */
export class PollSchedule {
  readonly #interval: number;
  readonly #random: Random;
  readonly #phase: number;
  #due: number;
  #dueWall: number;
  #seen: number;
  #seenWall: number;
  #running = false;
  #again = false;

  constructor(options: PollOptions) {
    this.#interval = options.intervalMs ?? POLL_INTERVAL_MS;
    this.#random = options.random;
    this.#phase = (options.phase ?? options.random.next()) * this.#interval;
    this.#seen = options.now;
    this.#seenWall = options.wall;
    const first = options.firstMs ?? this.#untilPhase(options.wall);
    this.#due = options.now + first;
    this.#dueWall = options.wall + first;
  }

  /** Monotonic time of the next check as known now. */
  get due(): number {
    return this.#due;
  }

  /** Asks for a check as soon as possible; while one runs, for one more after it. */
  checkNow(now: number, wall: number): void {
    if (this.#running) this.#again = true;
    else this.#setDue(now, wall, 0);
  }

  /** Asks for a check after `delayMs`, unless one is due before. */
  checkWithin(delayMs: number, now: number, wall: number): void {
    if (this.#due - now > delayMs) this.#setDue(now, wall, delayMs);
  }

  /** True when a check must start now: the caller starts it and calls `finished` at its end, however it ends. */
  tick(now: number, wall: number): boolean {
    const jump = wall - this.#seenWall - (now - this.#seen);
    this.#seen = now;
    this.#seenWall = wall;
    if (jump > JUMP_MS) {
      const late = wall >= this.#dueWall;
      this.#setDue(
        now,
        wall,
        late ? SETTLE_MIN_MS + this.#random.next() * SETTLE_SPREAD_MS : this.#dueWall - wall,
      );
    } else {
      this.#dueWall = wall + (this.#due - now);
    }
    if (this.#running || now < this.#due) return false;
    this.#running = true;
    this.#setDue(now, wall, this.#untilPhase(wall));
    return true;
  }

  finished(now: number, wall: number): void {
    this.#running = false;
    if (this.#again) this.#setDue(now, wall, 0);
    else if (this.#due <= now) this.#setDue(now, wall, this.#untilPhase(wall));
    this.#again = false;
  }

  /** How long a timer may wait before the next `tick`, ms. */
  waitMs(now: number): number {
    return Math.max(0, Math.min(MAX_WAIT_MS, this.#due - now));
  }

  #setDue(now: number, wall: number, delay: number): void {
    this.#due = now + delay;
    this.#dueWall = wall + delay;
  }

  #untilPhase(wall: number): number {
    const past = (((wall - this.#phase) % this.#interval) + this.#interval) % this.#interval;
    return this.#interval - past;
  }
}
