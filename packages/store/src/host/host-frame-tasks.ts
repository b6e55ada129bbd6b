/** Frames that one task makes at most. */
export const HOST_FRAMES_PER_TASK = 16;

/** Frames to be made of blocks of host files. */
export interface HostFramesTask {
  /** By frame: level to pack with, number of sectors. */
  readonly levels: Uint8Array;
  readonly counts: Uint8Array;
  /** By frame, what it must be: SHA-256 of the packed bytes, and the first 16 bytes of that of the raw ones. */
  readonly hashes: Uint8Array;
  readonly rawHashes: Uint8Array;
  readonly paths: readonly string[];
  /** By sector of these frames: 1 + index into `paths`, and which block of the file. */
  readonly fileOf: Uint32Array;
  readonly blockOf: Uint32Array;
}

/** What came out. */
export interface HostFrames {
  /** By frame: length of the packed bytes, 0 where the files hold something else by now. */
  readonly lengths: Uint32Array;
  /** One after the other, proven. */
  readonly packed: Uint8Array;
}
