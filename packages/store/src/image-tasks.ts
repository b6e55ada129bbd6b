import type { DiskShape, ExtentArrays, PackFacts, SharedFrameTable } from "@ckmesh/image";
import type {
  AppliedFrames,
  ApplySetup,
  ApplyTask,
  DeltaFrames,
  DeltaFramesTask,
  FingerprintTask,
  MakeSetup,
} from "./delta/delta-tasks.js";
import type { HostFrames, HostFramesTask } from "./host/host-frame-tasks.js";
import type { DecodedSetup } from "./versions/decoded-frames.js";

/** What the worker threads of packing, verifying and unpacking share; goes to each once. */
export interface WorkerSetup {
  /** Compression level of new frames. */
  readonly level: number;
  /** The threads give way to everything else on the machine. */
  readonly isBackground?: boolean;
  /** The disk file to pack. */
  readonly disk?: { readonly fd: number; readonly shape: DiskShape; readonly extents: ExtentArrays };
  /** The pack to decode: of an image, or of a delta that is applied. */
  readonly pack?: PackSetup;
  /** The file that is written; a clone is written only where its content differs. */
  readonly out?: { readonly fd: number; readonly extents: ExtentArrays; readonly isClone: boolean };
  /** The pack whose sectors the dictionaries of a delta are made of. */
  readonly base?: PackSetup;
  /** For making a delta. */
  readonly make?: MakeSetup;
  /** For applying a delta. */
  readonly apply?: ApplySetup;
}

/** A pack as threads open it. */
export interface PackSetup {
  readonly fd: number;
  readonly head: PackFacts;
  readonly frames: SharedFrameTable;
  /**
   * One byte per frame, shared: set when the frame was decoded and its raw hash checked. Absent: raw hashes
   * are not checked, as the hashes of the pages prove what is rebuilt.
   */
  readonly checked?: Uint8Array;
  /** Frames that lie here decoded, in the place of their packed form. */
  readonly decoded?: DecodedSetup;
}

/** Shared memory for one stretch of disk and what was found in it. */
export interface ScanSlot {
  readonly data: Uint8Array;
  /** SHA-256 of each sector, 8 words; of zero sectors nothing. */
  readonly hashes: Uint32Array;
  /** 1 for each sector that is not all zero. */
  readonly used: Uint8Array;
  /** SHA-256 of each page. */
  readonly pages: Uint8Array;
}

export interface ScanTask {
  readonly slot: ScanSlot;
  /** First disk sector; a multiple of 256. */
  readonly first: number;
  readonly count: number;
}

/** Shared memory for sectors on their way into frames. */
export interface FrameBatch {
  readonly raw: Uint8Array;
  /** Packed frames one after the other. */
  readonly packed: Uint8Array;
  /** Records of the `frames` section. */
  readonly records: Uint8Array;
}

export interface PackTask {
  readonly batch: FrameBatch;
  readonly sectors: number;
}

export interface FramesTask {
  readonly first: number;
  readonly count: number;
  /** False: the hash of the packed bytes alone. */
  readonly decode: boolean;
}

export interface RebuildTask {
  readonly firstPage: number;
  readonly pages: number;
  /** Runs of the map within these pages: disk sector, count, unique sector. */
  readonly runs: Float64Array;
  /** SHA-256 of each page. */
  readonly hashes: Uint8Array;
}

export interface RepackTask {
  readonly first: number;
  readonly count: number;
  /** Of compression. */
  readonly level: number;
  /** Disk sector of each unique sector of these frames; -1: not on the disk. */
  readonly places: Float64Array;
}

/** The tasks by name, with what they answer. */
export interface ImageTasks {
  /** Reads and hashes sectors and pages of the disk. */
  readonly scan: { readonly task: ScanTask; readonly result: null };
  /** Packs frames; answers the bytes written into `packed`. */
  readonly pack: { readonly task: PackTask; readonly result: number };
  /** Checks frames; answers null. */
  readonly check: { readonly task: FramesTask; readonly result: null };
  /** Checks frames; answers SHA-256 of each of their sectors, 8 words each. */
  readonly hash: { readonly task: FramesTask; readonly result: Uint32Array };
  /** Rebuilds and proves pages, and writes them when there is an out file. */
  readonly rebuild: { readonly task: RebuildTask; readonly result: null };
  /** Packs frames again from the disk into the pack; answers 1 for each that is there. */
  readonly repack: { readonly task: RepackTask; readonly result: Uint8Array };
  /** Checks frames of the base and takes their fingerprints; answers how many. */
  readonly fingerprint: { readonly task: FingerprintTask; readonly result: number };
  /** Brings frames of the target into the window; answers the frames of the base that have a good part of one. */
  readonly compare: { readonly task: DeltaFramesTask; readonly result: Uint32Array };
  /** Packs frames of the window with dictionaries out of the base. */
  readonly delta: { readonly task: DeltaFramesTask; readonly result: DeltaFrames };
  /** Applies frames of a delta. */
  readonly apply: { readonly task: ApplyTask; readonly result: AppliedFrames };
  /** Makes frames out of blocks of host files. */
  readonly host: { readonly task: HostFramesTask; readonly result: HostFrames };
}

export type ImageTaskName = keyof ImageTasks;

export type WorkerRequest = {
  readonly [K in ImageTaskName]: { readonly name: K; readonly task: ImageTasks[K]["task"] };
}[ImageTaskName];

export type WorkerReply<R> =
  | { readonly type: "done"; readonly result: R }
  | {
      readonly type: "failed";
      readonly code: string;
      readonly message: string;
      readonly details: Readonly<Record<string, unknown>>;
    };

/** Pages that one rebuild task has at most. */
export const PAGES_PER_TASK = 8;
