import type { Run } from "@ckmesh/core";
import type { SectionKind } from "@ckmesh/image";
import type { DeltaFiles, ImageRows, VersionFiles } from "@ckmesh/store";
import type { VersionBetween } from "./delta-search.js";
import type { DeltaVersionOptions } from "./delta-version-options.js";

/** What the delta that starts there needs of the index of a version between: where its frames are, and their hashes. */
export const STEP_SECTIONS: ReadonlySet<SectionKind> = new Set(["hashes", "kept", "frames"]);

/** What a delta starts from: a version that is here, or the part of one that is made for it. */
export interface DeltaBase {
  readonly files: ImageRows;
  /** Bytes per second of what is fetched for it. */
  readonly rate: { readonly peers: number; readonly origin: number };
  /** Bytes that making it will still take in the store. */
  readonly spaceNeeded: number;
  /**
   * Waits for the frames that the delta needs; its index is held.
   * @returns false: they do not come, for a reason that was logged
   */
  bring(delta: DeltaFiles): Promise<boolean>;
  /** Frames of it seem to be damaged. */
  damaged(runs: readonly Run[]): void;
  /** No more is wanted: `bring` returns, and what goes on is stopped. */
  stop(): void;
  /** What was made for the delta goes with it, unless it is kept for another run. Safe to call twice. */
  close(isKept: boolean): Promise<void>;
}

/** For what a base is wanted: the delta that starts there, and the version that it leads to. */
export interface DeltaUse extends DeltaVersionOptions {
  /** The row of the target is neither here nor about to come from local data. */
  readonly lacks: (row: number) => boolean;
  /** A frame of the target is missing that no connected peer offers. */
  readonly isShort: () => boolean;
}

/** Opens what the delta starts from. */
export type OpenBase = (base: VersionFiles | VersionBetween, use: DeltaUse) => Promise<DeltaBase>;

/** A version that is here. */
export function heldBase(files: VersionFiles, { onDamaged }: Pick<DeltaUse, "onDamaged">): DeltaBase {
  return {
    files,
    rate: { peers: 0, origin: 0 },
    spaceNeeded: 0,
    bring: () => Promise.resolve(true),
    damaged: (runs) => onDamaged(files, runs),
    stop: () => {},
    close: () => Promise.resolve(),
  };
}
