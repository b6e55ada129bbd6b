import type { Clock } from "@ckmesh/core";
import type { Clearance } from "@ckmesh/image";

/** Timers reach no further than 2^31 ms. */
const MAX_TIMER_MS = 86_400_000;

/** Wakes when the version that waits for its time may become active, or a day later to look again. */
export class ActivationAlarm {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** @param clearance of the newest version, instead of the one before; undefined: there is none */
  set(clearance: Clearance | undefined): void {
    this.stop();
    if (clearance?.type !== "prefetch") return;
    const waitMs = Math.max(0, clearance.activateAt * 1000 - this.#clock.wall());
    this.#cancel = this.#clock.after(Math.min(waitMs, MAX_TIMER_MS), this.#onDue);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
