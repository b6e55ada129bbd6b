import { AppError, type Clock, type Logger } from "@ckmesh/core";
import { type AnswerReader, type HelperCommand, HelperProcess } from "./helper-process.js";

export interface HelperPoolOptions {
  readonly command: HelperCommand;
  readonly isHarmless: (line: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** One judges some 250 logons a second: four are a fleet that starts at once. */
const MAX_PROCESSES = 4;
/** Requests that wait for a process; more are turned away. */
const MAX_WAITING = 64;
/** Longest wait for a process. */
const WAIT_MS = 5000;
/** After a failure nothing is started for this long, doubled with each further one. */
const FIRST_PAUSE_MS = 200;
const MAX_PAUSE_MS = 30_000;

interface Waiting {
  readonly take: (helper: HelperProcess) => void;
  readonly refuse: (err: AppError) => void;
}

/** A few processes of one helper program. Requests wait their turn, in bounds; what breaks is started again. */
export class HelperPool {
  readonly #options: HelperPoolOptions;
  readonly #all = new Set<HelperProcess>();
  readonly #idle: HelperProcess[] = [];
  readonly #waiting = new Set<Waiting>();
  #failures = 0;
  /** Monotonic ms until which nothing is started. */
  #pauseUntil = 0;
  #isClosed = false;

  constructor(options: HelperPoolOptions) {
    this.#options = options;
  }

  /** Starts one, so that a program that cannot run is in the log before anybody logs on. */
  start(): void {
    const helper = this.#startOne();
    if (helper !== undefined) this.#release(helper);
  }

  /** @throws {AppError} ERR_AUTH_UNAVAILABLE */
  async ask<T>(request: string, reader: AnswerReader<T>): Promise<T> {
    const helper = await this.#acquire();
    try {
      const answer = await helper.ask(request, reader);
      this.#failures = 0;
      return answer;
    } finally {
      this.#release(helper);
    }
  }

  /** Ends the processes; whoever waits is refused. */
  close(): void {
    this.#isClosed = true;
    for (const waiting of this.#waiting) waiting.refuse(unavailable("stopping"));
    this.#waiting.clear();
    for (const helper of this.#all) helper.end();
  }

  async #acquire(): Promise<HelperProcess> {
    const helper = this.#idle.pop() ?? this.#startOne();
    if (helper !== undefined) return helper;
    if (this.#all.size === 0) throw this.#noneLeft();
    if (this.#waiting.size >= MAX_WAITING) throw unavailable("too many logons wait");
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        cancel();
        this.#waiting.delete(waiting);
      };
      const waiting: Waiting = {
        take: (free) => {
          leave();
          resolve(free);
        },
        refuse: (err) => {
          leave();
          reject(err);
        },
      };
      const cancel = this.#options.clock.after(WAIT_MS, () => waiting.refuse(unavailable("all are busy")));
      this.#waiting.add(waiting);
    });
  }

  #release(helper: HelperProcess): void {
    const next = this.#firstWaiting();
    if (!helper.isAlive) {
      this.#replace();
    } else if (next === undefined) {
      this.#idle.push(helper);
    } else {
      next.take(helper);
    }
  }

  /** After a process is gone: another one for who waits, or no hope for any of them. */
  #replace(): void {
    for (let next = this.#firstWaiting(); next !== undefined; next = this.#firstWaiting()) {
      const helper = this.#startOne();
      if (helper !== undefined) {
        next.take(helper);
      } else if (this.#all.size === 0) {
        next.refuse(this.#noneLeft());
      } else {
        return; // The others take it.
      }
    }
  }

  #firstWaiting(): Waiting | undefined {
    return this.#waiting.values().next().value;
  }

  #startOne(): HelperProcess | undefined {
    const { command, isHarmless, clock } = this.#options;
    if (this.#isClosed || this.#all.size >= MAX_PROCESSES || clock.now() < this.#pauseUntil) return undefined;
    const helper = new HelperProcess(command, {
      clock,
      isHarmless,
      onEnd: (ended, reason, isLate) => this.#ended(ended, reason, isLate),
    });
    this.#all.add(helper);
    return helper;
  }

  #ended(helper: HelperProcess, reason: string, isLate: boolean): void {
    this.#all.delete(helper);
    const at = this.#idle.indexOf(helper);
    if (at >= 0) this.#idle.splice(at, 1);
    if (this.#isClosed) return;
    const { clock, logger, command } = this.#options;
    if (isLate) {
      // Somebody may have named a domain whose controllers are away: the others must not wait for that.
      logger.error({ program: command[0], reason }, "logon helper ended");
      return;
    }
    this.#failures += 1;
    const pauseMs = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures - 1, 16));
    this.#pauseUntil = clock.now() + pauseMs;
    logger.error({ program: command[0], reason, pauseMs }, "logon helper ended");
  }

  #noneLeft(): AppError {
    return unavailable("it does not run", Math.max(1, this.#pauseUntil - this.#options.clock.now()));
  }
}

function unavailable(why: string, retryMs = 1000): AppError {
  return new AppError("ERR_AUTH_UNAVAILABLE", `the logon helper cannot be asked: ${why}`, {
    details: { retryMs },
  });
}
