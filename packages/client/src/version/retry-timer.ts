import type { Clock, Random } from "@ckmesh/core";
import { Backoff } from "@ckmesh/swarm";

/** Pauses between attempts after a local fault, such as a full disk. */
const RETRY_MIN_MS = 5000;
const RETRY_MAX_MS = 300_000;

/** When work that stopped is tried again. */
export class RetryTimer {
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #run: () => void;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, random: Random, run: () => void) {
    this.#clock = clock;
    this.#backoff = new Backoff(RETRY_MIN_MS, RETRY_MAX_MS, random);
    this.#run = run;
  }

  get isSet(): boolean {
    return this.#cancel !== undefined;
  }

  /** The work failed once more. @returns the pause, ms */
  failed(): number {
    const ms = this.#backoff.fail();
    this.set(ms);
    return ms;
  }

  /** Pauses are short again. */
  succeeded(): void {
    this.#backoff.succeed();
  }

  /** In the place of the one before. */
  set(ms: number): void {
    this.stop();
    this.#cancel = this.#clock.after(ms, () => {
      this.#cancel = undefined;
      this.#run();
    });
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
