import { equalBytes } from "@ckmesh/core";
import { changedPages, diskPages, type IndexFile } from "@ckmesh/image";
import { TemporaryFile } from "../files/temporary-file.js";
import { ImageWorkers } from "../image-workers.js";
import { openIndex } from "../pack/open-index.js";
import { openPack, type PackFile } from "../pack/pack-file.js";
import { refuseExisting } from "../pairs/refuse-existing.js";
import { type Progress, throwIfStopped, type WorkOptions } from "../progress.js";
import type { DecodedSetup } from "../versions/decoded-frames.js";
import { type DiskPaths, openDiskBase } from "./disk-base.js";
import { type DiskLayout, layOutDisk, type UnpackFormat } from "./disk-layout.js";
import { stampDisk } from "./disk-stamp.js";
import { rebuildDisk } from "./rebuild-disk.js";

/** Bytes after which the file is flushed in the background. */
const FLUSH_BYTES = 64 << 20;

export interface UnpackOptions extends WorkOptions {
  readonly indexPath: string;
  /** Default: beside the index. */
  readonly packPath?: string;
  /** Must not exist unless `replace` is set. */
  readonly outPath: string;
  /** Default: original. */
  readonly format?: UnpackFormat;
  /** Replace what is at `outPath`, at once when all is proven. */
  readonly replace?: boolean;
  /** File mode of the result, default 0o644; a disk that nobody may change: 0o444. */
  readonly mode?: number;
  /** Put a stamp beside the disk, so that a later version may be made from a clone of it. */
  readonly stamp?: boolean;
  /**
   * The disk of another version in the same format. If its stamp is right and the file system has clones, only
   * what differs is written.
   */
  readonly base?: DiskPaths;
  /** Frames that are not in the pack. */
  readonly decoded?: DecodedSetup;
}

export interface UnpackResult {
  readonly outPath: string;
  /** Bytes of the file that was written, holes included. */
  readonly fileBytes: number;
  readonly diskBytes: number;
  /** Pages that were rebuilt; the others came with the clone. */
  readonly rebuiltPages: number;
  /** The file was made from a clone of the base. */
  readonly isClone: boolean;
}

/**
 * Rebuilds the disk of a pack. Each page that is written is checked, and the file gets its name
 * only after that; zeros become holes. Pages that come with a clone of the base were proven when that was built.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FORMAT_UNSUPPORTED (opaque pack, disk too large
 *   for a VHD), ERR_IMAGE_EXISTS, ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_STORE_FULL, ERR_ABORTED
 */
export async function unpackImage(options: UnpackOptions): Promise<UnpackResult> {
  const workers = new ImageWorkers(undefined, options.threads);
  // They start while pack and index are opened.
  workers.start(workers.threads);
  try {
    return await unpack(options, workers);
  } finally {
    await workers.close();
  }
}

async function unpack(options: UnpackOptions, workers: ImageWorkers): Promise<UnpackResult> {
  const index = await openIndex(options.indexPath);
  const format = options.format ?? "original";
  const layout = await layOutDisk(index, format);
  if (options.replace !== true) {
    await refuseExisting(options.outPath, "remove it or choose another file");
  }
  const pack = await openPack(options.packPath ?? options.indexPath.slice(0, -".index".length), index);
  try {
    const update = options.base && (await planUpdate(options.base, index, layout, format, options.outPath));
    const out = update?.out ?? (await TemporaryFile.create(options.outPath));
    const plan = update?.plan ?? { index, layout, clonedBytes: 0 };
    try {
      await writeFile(plan, pack, out, workers, options);
      await out.sync();
      await out.commit(options.mode);
    } finally {
      await out.discard();
    }
    if (options.stamp === true) await stampDisk(options.outPath, { id: index.signed.idHex, format });
    return {
      outPath: options.outPath,
      fileBytes: layout.fileLength,
      diskBytes: layout.shape.size,
      rebuiltPages: plan.pages?.length ?? diskPages(layout.shape),
      isClone: update !== undefined,
    };
  } finally {
    await pack.close();
  }
}

interface Plan {
  readonly index: IndexFile;
  readonly layout: DiskLayout;
  /** Of the pages that are rebuilt; all without it. */
  readonly pages?: Uint32Array;
  /** Bytes of the file that `out` is a clone of; 0: it is new. */
  readonly clonedBytes: number;
}

/** A clone of the base and what is to be changed in it; undefined: the disk is rebuilt from nothing. */
async function planUpdate(
  base: DiskPaths,
  index: IndexFile,
  layout: DiskLayout,
  format: UnpackFormat,
  outPath: string,
): Promise<{ readonly out: TemporaryFile; readonly plan: Plan } | undefined> {
  const before = await openDiskBase(base, format);
  if (before === undefined) return undefined;
  const pages = changedPages(before, { ...layout, pages: await index.section("pages") });
  const out = await TemporaryFile.clone(outPath, base.diskPath);
  if (out === undefined) return undefined;
  return { out, plan: { index, layout, pages, clonedBytes: before.fileLength } };
}

async function writeFile(
  plan: Plan,
  pack: PackFile,
  out: TemporaryFile,
  workers: ImageWorkers,
  options: UnpackOptions,
): Promise<void> {
  const { index, layout, pages, clonedBytes } = plan;
  await out.setSize(layout.fileLength);
  workers.setUp({
    level: 1,
    isBackground: options.background !== undefined,
    pack: { ...pack.setup, ...(options.decoded !== undefined && { decoded: options.decoded }) },
    out: { fd: out.fd, extents: layout.extents.arrays, isClone: clonedBytes > 0 },
  });
  try {
    let flushed = 0;
    const onProgress = (progress: Progress): void => {
      if (progress.bytesDone - flushed >= FLUSH_BYTES) {
        flushed = progress.bytesDone;
        out.flushSoon();
      }
      options.onProgress?.(progress);
    };
    await rebuildDisk(index, workers, { ...options, onProgress }, pages);
  } finally {
    // Nothing may write to the file any more when it is discarded.
    await workers.close();
  }
  for (const { offset, bytes } of layout.rest(clonedBytes)) {
    throwIfStopped(options.signal);
    if (clonedBytes > 0 && equalBytes(await out.read(offset, bytes.length), bytes)) continue;
    await out.write(bytes, offset);
  }
  throwIfStopped(options.signal);
}
