import { type ControlRecord, isRolloutOver, rolloutOf } from "@ckmesh/image";

export interface VersionsInUse {
  /** Published and not withdrawn, ascending. */
  readonly versions: readonly number[];
  readonly control: ControlRecord | undefined;
  /** Rollouts that the origin holds by itself. */
  readonly held: readonly number[];
  /** Unix seconds. */
  readonly now: number;
}

/**
 * Versions that clients follow: the newest, and as long as some of them must wait for it, the one before it, and so on.
 */
export function versionsInUse({ versions, control, held, now }: VersionsInUse): ReadonlySet<number> {
  const inUse = new Set<number>();
  for (const version of versions.toReversed()) {
    inUse.add(version);
    const rollout = control === undefined ? undefined : rolloutOf(control, version);
    const isForEverybody = rollout === undefined || (isRolloutOver(rollout, now) && !held.includes(version));
    if (isForEverybody) break;
  }
  return inUse;
}
