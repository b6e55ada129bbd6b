import type { Clock } from "@ckmesh/core";
import type { AuditLog } from "../logs/audit-log.js";
import { AuditThrottle, type Omitted } from "../logs/audit-throttle.js";

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

const MAX_NAME_CHARS = 256;

/** Writes logons to the audit log: who, from where, how, why not. */
export class LogonAudit {
  /** Apart, so that a password sprayer hides no logon. */
  readonly #failures: AuditThrottle;
  readonly #successes: AuditThrottle;

  constructor(log: Pick<AuditLog, "write">, clock: Clock) {
    this.#failures = new AuditThrottle(log, clock);
    this.#successes = new AuditThrottle(log, clock);
  }

  succeeded({ user, address, method }: Logon): void {
    this.#successes.write({ action: "logon", outcome: "success", user, address, method });
  }

  failed({ user, address, method, status, subStatus, reason }: FailedLogon): void {
    this.#failures.write({
      action: "logon",
      outcome: "failure",
      user: user?.slice(0, MAX_NAME_CHARS),
      address,
      method,
      status: `${status}.${subStatus}`,
      reason,
    });
  }
}

/** A line of the audit log about a logon; never a secret. */
export interface LogonEntry extends Omitted {
  readonly action: "logon";
  readonly outcome: "success" | "failure";
  readonly user: string | undefined;
  readonly address: string;
  readonly method: string;
  /** `401.1`, as in the request log. */
  readonly status?: string;
  readonly reason?: string;
}
