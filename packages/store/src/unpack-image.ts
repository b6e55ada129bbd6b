import { AppError } from "@ckmesh/core";
import {
  containerSegments,
  DiskExtents,
  type ExtentArrays,
  fixedVhdFooter,
  type IndexFile,
  MAX_VHD_BYTES,
  VHD_SECTOR_BYTES,
} from "@ckmesh/image";
import { ImageWorkers } from "./image-workers.js";
import { openIndex } from "./open-index.js";
import { openPack, type PackFile } from "./pack-file.js";
import { type Progress, throwIfStopped, type WorkOptions } from "./progress.js";
import { rebuildDisk } from "./rebuild-disk.js";
import { refuseExisting } from "./refuse-existing.js";
import { TemporaryFile } from "./temporary-file.js";

/** Bytes of a constant run that are written at once. */
const FILL_BYTES = 1 << 20;

/** Bytes after which the file is flushed in the background. */
const FLUSH_BYTES = 64 << 20;

/** `original`: the packed file byte for byte; `vhd`: a fixed VHD. */
export type UnpackFormat = "original" | "raw" | "vhd";

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
}

export interface UnpackResult {
  readonly outPath: string;
  /** Bytes of the file that was written, holes included. */
  readonly fileBytes: number;
  readonly diskBytes: number;
}

/**
 * Rebuilds the disk of a pack. Each frame and each page is checked, and the file gets its name only after
 * that; zeros become holes.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FORMAT_UNSUPPORTED (opaque pack, disk too large
 *   for a VHD), ERR_IMAGE_EXISTS, ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_STORE_FULL, ERR_ABORTED
 */
export async function unpackImage(options: UnpackOptions): Promise<UnpackResult> {
  const index = await openIndex(options.indexPath);
  const plan = await planFile(index, options.format ?? "original");
  if (options.replace !== true) {
    await refuseExisting(options.outPath, "remove it or choose another file");
  }
  const pack = await openPack(options.packPath ?? options.indexPath.slice(0, -".index".length), index);
  try {
    const out = await TemporaryFile.create(options.outPath);
    try {
      await writeFile(index, plan, pack, out, options);
      await out.sync();
      await out.commit(options.mode);
      return { outPath: options.outPath, fileBytes: plan.fileLength, diskBytes: plan.diskSize };
    } finally {
      await out.discard();
    }
  } finally {
    await pack.close();
  }
}

interface FilePlan {
  readonly diskSize: number;
  readonly fileLength: number;
  /** Where the disk goes. */
  readonly extents: ExtentArrays;
  /** What else the file holds. */
  readonly writeRest: (out: TemporaryFile) => Promise<void>;
}

async function planFile(index: IndexFile, format: UnpackFormat): Promise<FilePlan> {
  const { disk, createdAt } = index.head;
  if (disk === undefined) {
    throw new AppError(
      "ERR_FORMAT_UNSUPPORTED",
      "this version is an opaque pack: there is no disk to rebuild from it",
    );
  }
  const diskSize = disk.size;
  const flat = DiskExtents.flat(diskSize).arrays;
  switch (format) {
    case "original": {
      const container = await index.section("container");
      const { extents, fileLength } = DiskExtents.decode(container, diskSize);
      const writeRest = async (out: TemporaryFile): Promise<void> =>
        await writeContainer(container, diskSize, out);
      return { diskSize, fileLength, extents: extents.arrays, writeRest };
    }
    case "raw":
      return { diskSize, fileLength: diskSize, extents: flat, writeRest: async () => {} };
    case "vhd": {
      const padded = Math.ceil(diskSize / VHD_SECTOR_BYTES) * VHD_SECTOR_BYTES;
      if (padded > MAX_VHD_BYTES) {
        throw new AppError(
          "ERR_FORMAT_UNSUPPORTED",
          "the disk is larger than a VHD can be (2040 GiB); use --format raw",
        );
      }
      const footer = fixedVhdFooter(padded, createdAt, index.signed.id);
      const writeRest = async (out: TemporaryFile): Promise<void> => await out.write(footer, padded);
      return { diskSize, fileLength: padded + footer.length, extents: flat, writeRest };
    }
  }
}

async function writeFile(
  index: IndexFile,
  plan: FilePlan,
  pack: PackFile,
  out: TemporaryFile,
  options: UnpackOptions,
): Promise<void> {
  await out.setSize(plan.fileLength);
  const workers = new ImageWorkers(
    { level: 1, pack: pack.setup, out: { fd: out.fd, extents: plan.extents } },
    options.threads,
  );
  try {
    let flushed = 0;
    const onProgress = (progress: Progress): void => {
      if (progress.bytesDone - flushed >= FLUSH_BYTES) {
        flushed = progress.bytesDone;
        out.flushSoon();
      }
      options.onProgress?.(progress);
    };
    await rebuildDisk(index, workers, { ...options, onProgress });
  } finally {
    await workers.close();
  }
  await plan.writeRest(out);
  throwIfStopped(options.signal);
}

async function writeContainer(section: Uint8Array, diskSize: number, out: TemporaryFile): Promise<void> {
  for (const segment of containerSegments(section, diskSize)) {
    if (segment.type === "literal") await out.write(segment.bytes, segment.offset);
    if (segment.type !== "fill" || segment.byte === 0) continue;
    const fill = new Uint8Array(Math.min(FILL_BYTES, segment.length)).fill(segment.byte);
    for (let done = 0; done < segment.length; done += fill.length) {
      await out.write(fill.subarray(0, segment.length - done), segment.offset + done);
    }
  }
}
