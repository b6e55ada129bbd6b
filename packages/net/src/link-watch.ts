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

const CHECK_MS = 1000;

/** Looks at a link once a second, ends it when a deadline has passed, keeps it alive when we are silent. */
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
    this.#cancel = this.#clock.after(CHECK_MS, () => this.#check());
    const now = this.#clock.now();
    const progress = this.#look();
    const limits = this.#limits;
    const isLate = (since: number | undefined, ms: number): boolean =>
      since !== undefined && now - since >= ms;
    if (isLate(progress.handshakeSince, limits.handshakeMs)) this.#timeOut("did not finish its handshake");
    else if (isLate(progress.stuckSince, limits.drainMs)) this.#timeOut("did not read");
    else if (isLate(progress.receivedAt, limits.idleMs)) this.#timeOut("fell silent: no byte");
    else if (isLate(progress.messageSince, limits.messageMs)) this.#timeOut("did not finish a message");
    else if (isLate(progress.askedSince, limits.requestMs)) this.#timeOut("did not answer a request");
    else if (isLate(progress.sentAt, limits.keepAliveMs)) this.#silent();
  }

  #timeOut(what: string): void {
    this.#late(new AppError("ERR_TIMEOUT", `the peer ${what} in time`));
  }
}
