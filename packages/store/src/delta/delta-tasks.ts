import type { FingerprintPlan, PackFacts } from "@ckmesh/image";

/** The fingerprints of a base, which threads fill in together. */
export interface FingerprintSetup {
  readonly plan: FingerprintPlan;
  /** Shared, zero at first. */
  readonly slots: Uint32Array;
}

/** Frames that one task packs, or applies, at most. */
export const DELTA_FRAMES_PER_TASK = 16;

export interface DeltaFramesTask {
  /** Frames of the target, rising; at most 16. */
  readonly frames: Uint32Array;
}

/** Frames that are worth being in a delta. */
export interface DeltaFrames {
  /** Packed, one after the other. */
  readonly packed: Uint8Array;
  /** Records of the `frames` section. */
  readonly records: Uint8Array;
  /** Per frame: its number in the target, runs, and first and count of each run. */
  readonly refs: Uint32Array;
}

/** What the threads need beside the delta and its base to apply it. */
export interface ApplySetup {
  /** The `refs` section, in shared memory. */
  readonly refs: Uint8Array;
  /** The `frames` section of the target, in shared memory. */
  readonly targetFrames: Uint8Array;
  readonly targetHead: PackFacts;
  /** Codecs of the target as this machine can use them, by rising first frame. */
  readonly codecs: readonly UsableCodec[];
}

export interface UsableCodec {
  readonly firstFrame: number;
  /** Level to pack with; absent: the frames cannot be made again here. */
  readonly level?: number;
}
