import type { Run } from "@ckmesh/core";
import type { FetchId } from "../swarm-messages.js";

/** A claim of this client: open, moving, or paused because the origin said so. */
export interface OwnClaim {
  readonly span: number;
  readonly score: number;
  readonly rows: Run;
  state: "open" | "moving" | "paused";
  startAt: number;
  fetch?: { readonly id: FetchId; readonly rows: Run; readonly startedAt: number; leftBytes: number };
  bytesDone: number;
  /** When a byte last came (or the fetch began). */
  movedAt: number;
  sentAt: number;
  sentBytes: number;
  /** Patience ran out: claims and offers of others do not count for it. */
  readonly isImpatient: boolean;
  /** Opened while an own claim moved: its claimer goes on. */
  readonly isNext: boolean;
  /** Its rows are fetched in short, paced runs, the first one begun then. */
  pacedSince?: number;
}

/**
 * How long the claim's fetches will go on, ms; infinite before a byte has come.
 * @param totalBytes of all its rows
 * @param rate bytes per second that this client gets, pauses included; 0: not known
 */
export function claimLeftMs(own: OwnClaim, totalBytes: number, rate: number, now: number): number {
  const since = own.pacedSince ?? own.fetch?.startedAt;
  if (since === undefined || own.bytesDone === 0) return Number.POSITIVE_INFINITY;
  const leftBytes = Math.max(0, totalBytes - own.bytesDone);
  // The first of the paced runs comes faster than the whole does.
  if (own.pacedSince !== undefined && rate > 0) return (leftBytes * 1000) / rate;
  return leftBytes * (Math.max(1, now - since) / own.bytesDone);
}
