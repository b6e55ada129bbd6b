import type { Clearance } from "@ckmesh/image";
import type { ClearanceStatus } from "../status.js";

/** How the status shows what a client may do with a version; undefined: everything. */
export function clearanceStatus(clearance: Clearance): ClearanceStatus | undefined {
  switch (clearance.type) {
    case "free":
      return undefined;
    case "prefetch":
      return { type: "prefetch", until: isoOf(clearance.activateAt) };
    case "wait": {
      const { reason, until } = clearance;
      return { type: reason, ...(until !== undefined && { until: isoOf(until) }) };
    }
    case "withdrawn": {
      const { reason } = clearance;
      return { type: "withdrawn", ...(reason !== undefined && { reason }) };
    }
  }
}

/** Times of a record are as large as their writer likes; a date ends at 8.64e15 ms (ECMA-262 §21.4.1.1). */
function isoOf(seconds: number): string {
  return new Date(Math.min(seconds * 1000, 8.64e15)).toISOString();
}
