import type { DueSession, SessionTable } from "@ckmesh/bits";
import type { Clock, Logger } from "@ckmesh/core";

export interface SessionSweeperOptions {
  readonly clock: Clock;
  /** Between two clean-ups: surplus sessions end then only. */
  readonly cleanupMs: () => number;
  readonly table: Pick<SessionTable, "due" | "nextExpiry">;
  /** Ends a session. @returns false when it has to be tried again later */
  readonly drop: (id: string, why: DueSession["why"]) => Promise<boolean>;
  readonly logger: Logger;
}

/** Longest pause before sessions are looked at again that could not end just now. */
const RETRY_MS = 60_000;
/** Longest that a timer of Node runs. */
const MAX_TIMER_MS = 2_147_000_000;

/** Ends the sessions that are due: expired ones at once, surplus ones with the clean-up. */
export class SessionSweeper {
  readonly #options: SessionSweeperOptions;
  #cleanedAt: number;
  #cancel: (() => void) | undefined;
  #isSweeping = false;
  #isStopped = false;

  constructor(options: SessionSweeperOptions) {
    this.#options = options;
    this.#cleanedAt = options.clock.now();
  }

  /** Call it when there is a new session, or another setting. */
  plan(): void {
    if (!this.#isSweeping) this.#sweepAfter(this.#pauseMs());
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  /** Until the first session could expire, and the clean-up at the latest. */
  #pauseMs(): number {
    const { clock, cleanupMs, table } = this.#options;
    const untilCleanup = this.#cleanedAt + cleanupMs() - clock.now();
    const expiresAt = table.nextExpiry();
    const untilExpiry = expiresAt === undefined ? untilCleanup : expiresAt - clock.wall();
    return Math.max(0, Math.min(untilCleanup, untilExpiry, MAX_TIMER_MS));
  }

  #sweepAfter(ms: number): void {
    this.#cancel?.();
    if (this.#isStopped) return;
    this.#cancel = this.#options.clock.after(ms, () => void this.#tick());
  }

  /** Never throws. */
  async #tick(): Promise<void> {
    this.#isSweeping = true;
    let isComplete = false;
    try {
      isComplete = await this.#sweep();
    } catch (err) {
      this.#options.logger.error({ err }, "upload sessions cannot be swept");
    }
    this.#isSweeping = false;
    this.#sweepAfter(isComplete ? this.#pauseMs() : RETRY_MS);
  }

  /** @returns false when something is left to be done */
  async #sweep(): Promise<boolean> {
    const { clock, cleanupMs, table, drop } = this.#options;
    const now = clock.now();
    const isCleanup = now - this.#cleanedAt >= cleanupMs();
    let isComplete = true;
    for (const { session, why } of table.due(clock.wall())) {
      if (why === "surplus" && !isCleanup) continue;
      if (!(await drop(session.sessionId, why))) isComplete = false;
    }
    if (isCleanup && isComplete) this.#cleanedAt = now;
    return isComplete;
  }
}
