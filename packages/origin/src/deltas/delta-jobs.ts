/** A delta that is to be made. */
export interface DeltaJob {
  readonly version: number;
  readonly from: number;
  /** An alias waits for it. */
  readonly isAwaited: boolean;
}

export interface ImageDeltas {
  /** Published, neither opaque nor withdrawn, ascending. */
  readonly versions: readonly number[];
  /** What the alias stands for. */
  readonly aliasVersion: number | undefined;
  readonly awaited: readonly { readonly version: number; readonly from: number }[];
  /** Versions that deltas lead from, at most. */
  readonly maxBases: number;
  /** It is there, or is not to be made now. */
  readonly isSettled: (version: number, from: number) => boolean;
}

/**
 * The deltas of an image that are to be made, in this order: those that its alias waits for; then those to its newest
 * version, first from the version that clients have, then from the newest on. Nobody wants those to older versions.
 */
export function deltaJobs(image: ImageDeltas): readonly DeltaJob[] {
  const { versions, aliasVersion, awaited, maxBases, isSettled } = image;
  const target = versions.at(-1);
  const older = versions.filter((version) => target !== undefined && version < target).toReversed();
  const bases = older.toSorted((a, b) => Number(b === aliasVersion) - Number(a === aliasVersion));
  const wanted = [
    ...awaited
      .filter(({ version, from }) => versions.includes(version) && versions.includes(from))
      .map((wait) => ({ version: wait.version, from: wait.from, isAwaited: true })),
    ...bases
      .slice(0, maxBases)
      .map((from) => ({ version: target ?? 0, from, isAwaited: false }))
      .filter((job) => !awaited.some(({ version, from }) => version === job.version && from === job.from)),
  ];
  return maxBases === 0 ? [] : wanted.filter(({ version, from }) => !isSettled(version, from));
}
