import type { Rollout } from "./control-record.js";

/**
 * True when a rollout holds nobody back, at `now` and later.
 * @param now Unix seconds
 */
export function isRolloutOver(rollout: Rollout, now: number): boolean {
  const { rings, approved, isHeld, prefetchAt = 0, activateAt = 0 } = rollout;
  return approved >= rings.length && !isHeld && Math.max(prefetchAt, activateAt) <= now;
}
