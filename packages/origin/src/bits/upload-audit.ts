import type { Clock } from "@ckmesh/core";
import type { AuditLog } from "../logs/audit-log.js";
import { AuditThrottle, type Omitted } from "../logs/audit-throttle.js";

/** A line of the audit log about an upload. What becomes of a closed one is another line. */
export interface UploadEntry extends Omitted {
  readonly action: "upload";
  readonly outcome: "created" | "closed" | "cancelled" | "expired" | "dropped" | "refused";
  readonly user: string;
  /** Absent where the origin itself ended it. */
  readonly address?: string;
  /** As the URL names it. */
  readonly file: string;
  readonly session?: string;
  readonly bytes?: number;
  /** Of the answer, with the code of the error. */
  readonly status?: number;
  readonly code?: string;
  readonly reason?: string;
}

const MAX_FILE_CHARS = 300;

/** Writes uploads to the audit log: who, from where, what, how it ended. */
export class UploadAudit {
  readonly #done: AuditThrottle;
  readonly #refused: AuditThrottle;

  constructor(log: Pick<AuditLog, "write">, clock: Clock) {
    this.#done = new AuditThrottle(log, clock);
    this.#refused = new AuditThrottle(log, clock);
  }

  write(entry: Omit<UploadEntry, "action" | keyof Omitted>): void {
    const throttle = entry.outcome === "refused" ? this.#refused : this.#done;
    throttle.write({ ...entry, action: "upload", file: entry.file.slice(0, MAX_FILE_CHARS) });
  }
}
