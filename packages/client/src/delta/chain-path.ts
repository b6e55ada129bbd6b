/** Deltas in a row at most: each has heads, an index and a round trip of its own, and what is gained gets less. */
export const MAX_STEPS = 5;

/** A delta that somebody says there is. */
export interface KnownDelta {
  /** The version that it leads to. */
  readonly to: number;
  readonly from: number;
  /** Of its pack and index. */
  readonly bytes: number;
}

/** What a step costs beside its delta: the head of the version between. */
const STEP_BYTES = 4096;

/** A way to a version, and its price. */
interface Way {
  readonly deltas: readonly KnownDelta[];
  readonly bytes: number;
}

/**
 * The deltas that lead from a version that is held to `target` in the fewest bytes, in the order in which they are
 * applied; at most five. Undefined: there is no way.
 */
export function cheapestChain(
  known: readonly KnownDelta[],
  held: ReadonlySet<number>,
  target: number,
): readonly KnownDelta[] | undefined {
  // After round i: the cheapest ways of at most i deltas.
  let ways = new Map<number, Way>([...held].map((version) => [version, { deltas: [], bytes: 0 }]));
  for (let round = 0; round < MAX_STEPS; round += 1) {
    const next = new Map(ways);
    for (const delta of known) {
      const before = ways.get(delta.from);
      if (before === undefined || delta.to <= delta.from || delta.to > target) continue;
      const bytes = before.bytes + delta.bytes + STEP_BYTES;
      if (bytes < (next.get(delta.to)?.bytes ?? Number.POSITIVE_INFINITY))
        next.set(delta.to, { deltas: [...before.deltas, delta], bytes });
    }
    ways = next;
  }
  const found = ways.get(target)?.deltas;
  return found === undefined || found.length === 0 ? undefined : found;
}

/**
 * The names to ask for on a server that has no list: from one version to the next, the last one first, as that is the
 * one whose absence says most. Undefined: too many lie between.
 */
export function stepsBetween(
  held: ReadonlySet<number>,
  target: number,
): readonly Omit<KnownDelta, "bytes">[] | undefined {
  const newest = Math.max(...[...held].filter((version) => version < target));
  if (target - newest > MAX_STEPS) return undefined;
  return Array.from({ length: target - newest }, (_, i) => ({ to: target - i, from: target - i - 1 }));
}
