import type { Clock } from "@ckmesh/core";
import type { AuditLog } from "../audit-log.js";

export interface FailedLogon {
  /** As the client wrote it; undefined where it gave none. */
  readonly user: string | undefined;
  readonly address: string;
  readonly method: string;
  readonly status: number;
  readonly subStatus: number;
  readonly reason: string;
}

export interface Logon {
  readonly user: string;
  readonly address: string;
  readonly method: string;
}

/** The same once more within this time is counted, not written. */
const REPEAT_MS = 60_000;
/** What is remembered of the last minute; beyond it repetitions are written again. */
const MAX_REMEMBERED = 4096;
/** Lines that may come at once, failures and successes each. */
const BURST = 1000;
/** Lines a second in the long run: some 17 MB a day at most, however hard somebody tries. */
const LINES_PER_SECOND = 1;
const MAX_NAME_CHARS = 256;

interface Remembered {
  readonly at: number;
  repeated: number;
}

/** Lines that are allowed, refilled with time. */
interface Bucket {
  left: number;
  at: number;
  dropped: number;
}

/** Writes logons to the audit log: who, from where, how, why not. A password sprayer cannot fill the disk. */
export class LogonAudit {
  readonly #log: Pick<AuditLog, "write">;
  readonly #clock: Clock;
  readonly #remembered = new Map<string, Remembered>();
  readonly #failures: Bucket;
  readonly #successes: Bucket;

  constructor(log: Pick<AuditLog, "write">, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#failures = { left: BURST, at: clock.now(), dropped: 0 };
    this.#successes = { left: BURST, at: clock.now(), dropped: 0 };
  }

  succeeded({ user, address, method }: Logon): void {
    this.#write(this.#successes, { action: "logon", outcome: "success", user, address, method });
  }

  failed({ user, address, method, status, subStatus, reason }: FailedLogon): void {
    this.#write(this.#failures, {
      action: "logon",
      outcome: "failure",
      user: user?.slice(0, MAX_NAME_CHARS),
      address,
      method,
      status: `${status}.${subStatus}`,
      reason,
    });
  }

  #write(bucket: Bucket, entry: LogonEntry): void {
    const now = this.#clock.now();
    const key = JSON.stringify(entry);
    const before = this.#remembered.get(key);
    if (before !== undefined && now - before.at < REPEAT_MS) {
      before.repeated += 1;
      return;
    }
    this.#remember(key, now);
    bucket.left = Math.min(BURST, bucket.left + ((now - bucket.at) / 1000) * LINES_PER_SECOND);
    bucket.at = now;
    if (bucket.left < 1) {
      bucket.dropped += 1;
      return;
    }
    bucket.left -= 1;
    const [repeated, dropped] = [before?.repeated ?? 0, bucket.dropped];
    bucket.dropped = 0;
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

/** A line of the audit log about a logon; never a secret. */
export interface LogonEntry {
  readonly action: "logon";
  readonly outcome: "success" | "failure";
  readonly user: string | undefined;
  readonly address: string;
  readonly method: string;
  /** `401.1`, as in the request log. */
  readonly status?: string;
  readonly reason?: string;
  /** How often the same came since the line before it, without being written. */
  readonly repeated?: number;
  /** Other lines that were not written since the one before. */
  readonly dropped?: number;
}
