import type { Clock, Logger } from "@ckmesh/core";
import { describeError } from "@ckmesh/core";
import type { PollSchedule } from "@ckmesh/swarm";

/** The timer of a `PollSchedule`: runs `check` when it is due, one at a time. */
export class PollLoop {
  readonly #schedule: PollSchedule;
  readonly #clock: Clock;
  readonly #check: (signal: AbortSignal) => Promise<void>;
  readonly #logger: Logger;
  readonly #retryMs: ((err: unknown) => number | undefined) | undefined;
  readonly #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #cancelTimer: (() => void) | undefined;

  /** @param retryMs when to try a failed check again if that is before the next is due; undefined: only then */
  constructor(
    schedule: PollSchedule,
    clock: Clock,
    logger: Logger,
    check: (signal: AbortSignal) => Promise<void>,
    retryMs?: (err: unknown) => number | undefined,
  ) {
    this.#schedule = schedule;
    this.#clock = clock;
    this.#logger = logger;
    this.#check = check;
    this.#retryMs = retryMs;
  }

  /** Unix ms of the next check as known now. */
  get nextCheckWall(): number {
    return this.#clock.wall() + this.#schedule.due - this.#clock.now();
  }

  start(): void {
    this.#tick();
  }

  /** Checks as soon as possible. */
  checkNow(): void {
    this.#schedule.checkNow(this.#clock.now(), this.#clock.wall());
    this.#tick();
  }

  /** Aborts a check under way. Safe to call twice. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#cancelTimer?.();
    await this.#running;
  }

  #tick(): void {
    this.#cancelTimer?.();
    if (this.#abort.signal.aborted) return;
    if (this.#schedule.tick(this.#clock.now(), this.#clock.wall())) this.#running = this.#run();
    this.#cancelTimer = this.#clock.after(this.#schedule.waitMs(this.#clock.now()), () => {
      this.#tick();
    });
  }

  async #run(): Promise<void> {
    let retryMs: number | undefined;
    try {
      await this.#check(this.#abort.signal);
    } catch (err) {
      retryMs = this.#retryMs?.(err);
      this.#logger.warn({ reason: describeError(err) }, "check failed");
    }
    this.#schedule.finished(this.#clock.now(), this.#clock.wall());
    if (retryMs !== undefined) this.#schedule.checkWithin(retryMs, this.#clock.now(), this.#clock.wall());
    this.#tick();
  }
}
