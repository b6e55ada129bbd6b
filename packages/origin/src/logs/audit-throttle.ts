import type { Clock } from "@ckmesh/core";
import type { AuditEntry, AuditLog } from "./audit-log.js";

/** The same once more within this time is counted, not written. */
const REPEAT_MS = 60_000;
/** What is remembered of the last minute; beyond it repetitions are written again. */
const MAX_REMEMBERED = 4096;
/** Lines that may come at once. */
const BURST = 1000;
/** Lines a second in the long run: some 17 MB a day at most, however hard somebody tries. */
const LINES_PER_SECOND = 1;

interface Remembered {
  readonly at: number;
  repeated: number;
}

/** What was left out of the audit log before a line. */
export interface Omitted {
  /** How often the same came since the line before it, without being written. */
  readonly repeated?: number;
  /** Other lines that were not written since the one before. */
  readonly dropped?: number;
}

/** Writes one kind of line to the audit log, so that nobody can fill the disk with it. */
export class AuditThrottle {
  readonly #log: Pick<AuditLog, "write">;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered>();
  /** Lines that are allowed, refilled with time. */
  #left = BURST;
  #filledAt: number;
  #dropped = 0;

  constructor(log: Pick<AuditLog, "write">, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#filledAt = clock.now();
  }

  write(entry: AuditEntry): void {
    const now = this.#clock.now();
    const key = JSON.stringify(entry);
    const before = this.#remembered.get(key);
    if (before !== undefined && now - before.at < REPEAT_MS) {
      before.repeated += 1;
      return;
    }
    this.#remember(key, now);
    this.#left = Math.min(BURST, this.#left + ((now - this.#filledAt) / 1000) * LINES_PER_SECOND);
    this.#filledAt = now;
    if (this.#left < 1) {
      this.#dropped += 1;
      return;
    }
    this.#left -= 1;
    const [repeated, dropped] = [before?.repeated ?? 0, this.#dropped];
    this.#dropped = 0;
    this.#log.write(
      { ...entry, ...(repeated > 0 && { repeated }), ...(dropped > 0 && { dropped }) },
      this.#clock.wall(),
    );
  }

  #remember(key: string, at: number): void {
    this.#remembered.delete(key);
    if (this.#remembered.size >= MAX_REMEMBERED) {
      const oldest = this.#remembered.keys().next().value;
      if (oldest !== undefined) this.#remembered.delete(oldest);
    }
    this.#remembered.set(key, { at, repeated: 0 });
  }
}
