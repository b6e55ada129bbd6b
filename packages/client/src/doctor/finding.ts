import type { ErrorCode } from "@ckmesh/core";

/** What is looked at, in this order; API of `doctor --json` (docs: json output). */
export type CheckName =
  | "name"
  | "connection"
  | "tls"
  | "clock"
  | "redirect"
  | "methods"
  | "logon"
  | "catalogue"
  | "index"
  | "pack"
  | "ranges"
  | "tags"
  | "control"
  | "tracker";

/** The result of one check. */
export interface Finding {
  readonly check: CheckName;
  /** `warning`: it works, and could be better or will not for long; `skipped`: it could not be looked at. */
  readonly status: "ok" | "warning" | "failed" | "skipped";
  readonly message: string;
  /** What to change. */
  readonly advice?: string;
  /** Of a failure: decides the exit code. */
  readonly code?: ErrorCode;
}

export function ok(check: CheckName, message: string): Finding {
  return { check, status: "ok", message };
}

export function warning(check: CheckName, message: string, advice: string): Finding {
  return { check, status: "warning", message, advice };
}

export function failed(check: CheckName, code: ErrorCode, message: string, advice?: string): Finding {
  return { check, status: "failed", message, code, ...(advice !== undefined && { advice }) };
}

export function skipped(check: CheckName, message: string): Finding {
  return { check, status: "skipped", message };
}
