import type { Claim } from "@ckmesh/wire";
import { FASTER } from "../constants.js";
import { compareRank } from "../rank.js";

/** What decides a conflict between two claims. */
export interface Contender {
  readonly claim: Pick<Claim, "state" | "claimer">;
  readonly score: number;
  /** Believed bytes per second; 0 when unknown. */
  readonly rate: number;
}

/** Whoever may fetch at once goes before one that was told to wait. */
const MOVEMENT: Partial<Record<Claim["state"], number>> = { moving: 2, open: 1 };

/**
 * Rule 9: moving bytes beat none, then higher weight, then lower peer id. Before that: a claimer that is known
 * to be four times faster beats a slow one (rule 13), so that the end never waits for the slowest machine.
 * Negative when `a` wins.
 */
export function compareClaims(a: Contender, b: Contender): number {
  if (isFaster(a.rate, b.rate)) return -1;
  if (isFaster(b.rate, a.rate)) return 1;
  const moving = (MOVEMENT[b.claim.state] ?? 0) - (MOVEMENT[a.claim.state] ?? 0);
  if (moving !== 0) return moving;
  return compareRank(
    { score: a.score, peerId: a.claim.claimer },
    { score: b.score, peerId: b.claim.claimer },
  );
}

/** True if both rates are known and the first is so much higher that it decides. */
export function isFaster(rate: number, than: number): boolean {
  return rate > 0 && than > 0 && rate >= FASTER * than;
}
