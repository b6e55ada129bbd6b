import { AppError, type Clock } from "@ckmesh/core";
import type { LinkLimits } from "./link-limits.js";

/** What the watch looks at, all times on the monotonic clock; undefined = nothing to wait for. */
export interface LinkProgress {
  /** Begin of a handshake that is not over. */
  readonly handshakeSince: number | undefined;
  /** Since when bytes wait and none are taken. */
  readonly stuckSince: number | undefined;
  /** Last byte of the peer; undefined while this side does not read. */
  readonly receivedAt: number | undefined;
  /** Begin of a message that has not ended; undefined while this side does not read. */
  readonly messageSince: number | undefined;
  /** When the oldest open request went out; undefined while this side does not read. */
  readonly askedSince: number | undefined;
  /** Last byte of ours. */
  readonly sentAt: number;
}

/** Deadlines may be missed by this. */
const CHECK_MS = 1000;

/**
 * Ends a link when a deadline has passed, keeps it alive when we are silent. Looks at it when the first deadline may
 * pass, be it of something that begins right after the look: a link at rest takes two looks a minute.
 */
export class LinkWatch {
  readonly #clock: Clock;
  readonly #limits: LinkLimits;
  readonly #look: () => LinkProgress;
  readonly #late: (err: AppError) => void;
  readonly #silent: () => void;
  #cancel: () => void;

  constructor(
    clock: Clock,
    limits: LinkLimits,
    look: () => LinkProgress,
    late: (err: AppError) => void,
    silent: () => void,
  ) {
    this.#clock = clock;
    this.#limits = limits;
    this.#look = look;
    this.#late = late;
    this.#silent = silent;
    this.#cancel = clock.after(CHECK_MS, () => this.#check());
  }

  stop(): void {
    this.#cancel();
  }

  #check(): void {
    const now = this.#clock.now();
    const progress = this.#look();
    const limits = this.#limits;
    let next = Number.POSITIVE_INFINITY;
    const isLate = (since: number | undefined, ms: number): boolean => {
      const due = (since ?? now) + ms;
      next = Math.min(next, due > now ? due : now + ms);
      return due <= now;
    };
    if (progress.handshakeSince !== undefined && isLate(progress.handshakeSince, limits.handshakeMs))
      return this.#timeOut("did not finish its handshake");
    if (isLate(progress.stuckSince, limits.drainMs)) return this.#timeOut("did not read");
    if (isLate(progress.receivedAt, limits.idleMs)) return this.#timeOut("fell silent: no byte");
    if (isLate(progress.messageSince, limits.messageMs)) return this.#timeOut("did not finish a message");
    if (isLate(progress.askedSince, limits.requestMs)) return this.#timeOut("did not answer a request");
    if (isLate(progress.sentAt, limits.keepAliveMs)) this.#silent();
    this.#cancel = this.#clock.after(Math.max(CHECK_MS, next - now), () => this.#check());
  }

  #timeOut(what: string): void {
    this.#late(new AppError("ERR_TIMEOUT", `the peer ${what} in time`));
  }
}
