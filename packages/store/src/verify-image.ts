import { AppError } from "@ckmesh/core";
import { decodeKept, diskPages, type FrameTable, type IndexFile, PACK_HEADER_BYTES } from "@ckmesh/image";
import { sharedBytes } from "./buffer-pool.js";
import { ImageWorkers } from "./image-workers.js";
import { openIndex } from "./open-index.js";
import { runOrdered } from "./ordered-tasks.js";
import { openPack } from "./pack-file.js";
import { PackHash } from "./pack-hash.js";
import { throwIfStopped, type WorkOptions } from "./progress.js";
import { RandomAccessFile } from "./random-access-file.js";
import { rebuildDisk } from "./rebuild-disk.js";

const FRAMES_PER_TASK = 64;

export interface VerifyOptions extends WorkOptions {
  /** Default: beside the index. */
  readonly packPath?: string;
  /**
   * `hashes`: index, frames and pack as bytes. `full`, the default: also every frame decoded and every page of
   * the disk rebuilt.
   */
  readonly depth?: "hashes" | "full";
}

export interface VerifyResult {
  readonly index: IndexFile;
  readonly frames: number;
  readonly pages: number;
}

/**
 * Checks an index and its pack, byte by byte.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_FILE_NOT_FOUND,
 *   ERR_FILE_DENIED, ERR_ABORTED
 */
export async function verifyImage(indexPath: string, options: VerifyOptions = {}): Promise<VerifyResult> {
  const index = await openIndex(indexPath);
  await checkSections(index);
  const packPath = options.packPath ?? indexPath.slice(0, -".index".length);
  const pack = await openPack(packPath, index);
  try {
    const checked = sharedBytes(pack.frames.count);
    const workers = new ImageWorkers({ level: 1, pack: { ...pack.setup, checked } }, options.threads);
    try {
      const isFull = options.depth !== "hashes";
      if (isFull) await rebuildDisk(index, workers, options);
      await checkFrames(workers, pack.frames, checked, isFull, options);
      await checkPack(packPath, index, options);
    } finally {
      await workers.close();
    }
  } finally {
    await pack.close();
  }
  return {
    index,
    frames: index.head.counts.frames,
    pages: index.head.disk === undefined ? 0 : diskPages(index.head.disk),
  };
}

/** Every section by its hashes, and what can be said of each alone. */
async function checkSections(index: IndexFile): Promise<void> {
  const kept = await index.section("kept");
  if (index.head.previous !== undefined) decodeKept(kept, index.head, kept.length * 8);
  await index.section("container");
  await index.section("ids");
  const map = await index.map();
  while (map.next());
}

/** The frames that rebuilding the disk did not need. */
async function checkFrames(
  workers: ImageWorkers,
  frames: FrameTable,
  checked: Uint8Array,
  decode: boolean,
  options: WorkOptions,
): Promise<void> {
  const tasks: number[] = [];
  for (let first = 0; first < frames.count; first += FRAMES_PER_TASK) {
    if (checked.subarray(first, first + FRAMES_PER_TASK).includes(0)) tasks.push(first);
  }
  await runOrdered(
    tasks.length,
    workers.threads * 2,
    async (i) => {
      throwIfStopped(options.signal);
      const first = tasks[i] ?? 0;
      return await workers.run("check", {
        first,
        count: Math.min(FRAMES_PER_TASK, frames.count - first),
        decode,
      });
    },
    (_, i) => {
      const bytesDone = frames.offset(Math.min((tasks[i] ?? 0) + FRAMES_PER_TASK, frames.count));
      options.onProgress?.({ phase: "check", bytesDone, bytesTotal: frames.offset(frames.count) });
    },
  );
}

async function checkPack(path: string, index: IndexFile, options: WorkOptions): Promise<void> {
  const { head } = index;
  const file = await RandomAccessFile.open(path, "read");
  try {
    const headerLength = head.disk === undefined ? 0 : PACK_HEADER_BYTES;
    const stopped = (): AppError | undefined =>
      options.signal?.aborted === true
        ? new AppError("ERR_ABORTED", "the check of the pack was stopped")
        : undefined;
    const isRight = await new PackHash(() => file, headerLength).isRight(head.pack, stopped);
    if (!isRight) throw new AppError("ERR_PACK_INVALID", `${path} does not match the hash in its index`);
  } finally {
    await file.close();
  }
}
