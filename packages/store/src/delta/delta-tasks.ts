import {
  type BaseFingerprints,
  type FingerprintPlan,
  FRAME_BYTES,
  type SharedFrameTable,
} from "@ckmesh/image";
import type { UsableCodec } from "../pack/usable-codecs.js";

/** What the threads share to make a delta beside its versions. */
export interface MakeSetup {
  readonly plan: FingerprintPlan;
  /** The fingerprints of the base; filled in by one thread while no other looks. */
  readonly slots: Uint32Array;
  readonly window: DeltaWindow;
  readonly held: HeldFrames;
}

/** New frames that were compared with a sample of the base, and are packed when all that they resemble is known. */
export interface DeltaWindow {
  /** 64 KiB each. */
  readonly raw: Uint8Array;
  /** Fingerprints of each, room for 2048. */
  readonly hashes: Uint32Array;
  /** How many fingerprints each has. */
  readonly counts: Uint32Array;
}

/** Frames of the base that stay decoded from when they were fingerprinted. */
export interface HeldFrames {
  /** Their numbers, rising. */
  readonly frames: Uint32Array;
  /** 64 KiB each. */
  readonly raw: Uint8Array;
}

/** Frames of a base that one task fingerprints, at most. */
export const BASE_FRAMES_PER_TASK = 32;

export interface FingerprintTask {
  /** Frames of the base, rising; at most 32. */
  readonly frames: Uint32Array;
  /** Shared memory for what is found: room for 32 times 2048. */
  readonly found: BaseFingerprints;
}

/** Frames that one task packs, or applies, at most. */
export const DELTA_FRAMES_PER_TASK = 16;

/** Level of delta frames: 9 makes them 4 % smaller and takes four times as long. */
export const DELTA_LEVEL = 3;

export interface DeltaFramesTask {
  /** Frames of the target, rising; at most 16. */
  readonly frames: Uint32Array;
  /** Place of the first in the window; the others follow. */
  readonly place: number;
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

/** Room for the frames of one task: no packed frame is longer than its raw bytes. */
export const DELTA_TASK_BYTES = DELTA_FRAMES_PER_TASK * FRAME_BYTES;

export interface ApplyTask {
  /** Frames of a delta to apply, rising; at most 16. */
  readonly frames: Uint32Array;
  /**
   * Shared memory of `DELTA_TASK_BYTES` for the frames of the target as packed there, one after the other in the order of
   * the task. Absent: they are not wanted; then raw bytes are proven as well, also of what cannot be packed here.
   */
  readonly packed?: Uint8Array;
}

/** What came of an apply task. Everything in it is proven. */
export interface AppliedFrames {
  /** Per frame of the task: bytes that it takes in the target; 0: it failed, or this machine cannot pack it so. */
  readonly lengths: Uint32Array;
  readonly failures: readonly ApplyFailure[];
  /** Frames that this machine cannot pack so, decoded; none unless packed frames are wanted. */
  readonly decoded: readonly { readonly k: number; readonly raw: Uint8Array }[];
}

/**
 * Why a frame of a delta yielded nothing:
 * - `delta-damaged`: its bytes are not those of the delta's index
 * - `base-damaged`: nor are those of frame `frame` of the base, which it needs
 * - `misfit`: all of these are right, and yield something else than the target has
 */
export interface ApplyFailure {
  readonly reason: "delta-damaged" | "base-damaged" | "misfit";
  /** Number in the delta. */
  readonly k: number;
  /** Number in what is damaged, of a misfit in the target. */
  readonly frame: number;
  readonly message: string;
}

/** What the threads need beside the delta and its base to apply it. */
export interface ApplySetup {
  /** The `refs` section, in shared memory. */
  readonly refs: Uint8Array;
  readonly targetFrames: SharedFrameTable;
  /** Codecs of the target as this machine can use them, by rising first frame. */
  readonly codecs: readonly UsableCodec[];
}
