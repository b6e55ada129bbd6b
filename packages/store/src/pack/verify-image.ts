import { decodeKept, diskPages, type IndexFile } from "@ckmesh/image";
import { rebuildDisk } from "../disk/rebuild-disk.js";
import { sharedBytes } from "../files/buffer-pool.js";
import { ImageWorkers } from "../image-workers.js";
import type { WorkOptions } from "../progress.js";
import { checkPackFrames, checkPackHash } from "./check-pack.js";
import { openIndex } from "./open-index.js";
import { openPack } from "./pack-file.js";

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
      await checkPackFrames(workers, pack.frames, checked, isFull, options);
      await checkPackHash(packPath, index, options);
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
