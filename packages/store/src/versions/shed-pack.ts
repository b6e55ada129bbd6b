import { constants } from "node:fs";
import { type FileHandle, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, Bitfield } from "@ckmesh/core";
import {
  type CodecEntry,
  encodePackHeader,
  type FrameTable,
  type IndexFile,
  PACK_HEADER_BYTES,
  SECTOR_BYTES,
} from "@ckmesh/image";
import { layOutDisk, type UnpackFormat } from "../disk/disk-layout.js";
import { onDisk } from "../files/store-error.js";
import { syncFolder } from "../files/sync-folder.js";
import { writeAtomic } from "../files/write-atomic.js";
import { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import { openIndex } from "../pack/open-index.js";
import { packFacts } from "../pack/pack-file.js";
import { levelOf, usableCodecs } from "../pack/usable-codecs.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";
import { encodeHaveMap } from "./have-map.js";
import type { VersionPaths } from "./store-layout.js";

/** 2 MiB read and written at most: small steps make an even load where it is held to a rate. */
const FRAMES_PER_TASK = 16;

/**
 * Gives up the pack of a version whose disk is here. Frames that cannot be made from the disk again stay in
 * `.partial`, a sparse file: those with sectors that the disk no longer shows, and those of another codec.
 * @returns bytes of the frames that stayed
 * @throws {AppError} ERR_INDEX_INVALID, ERR_STORE_CORRUPT, ERR_STORE_FULL; the pack is still there then
 */
export async function shedPack(paths: VersionPaths): Promise<number> {
  const index = await openIndex(paths.index);
  const places = await sectorPlaces(index);
  const codecs = usableCodecs(index.head);
  const frames = await index.frames();
  let kept = 0;
  await onDisk(paths.packPartial, async () => {
    const pack = await open(paths.pack, "r");
    try {
      const out = await openRest(paths.packPartial, index, true);
      try {
        for (let frame = 0; frame < frames.count; frame += 1) {
          if (isOnDisk(frames, frame, places) && levelOf(codecs, frame) !== undefined) continue;
          kept += await copyBytes(pack, out, frames.offset(frame), frames.packedLength(frame));
        }
        await out.sync();
      } finally {
        await out.close();
      }
    } finally {
      await pack.close();
    }
  });
  await onDisk(paths.pack, async () => {
    await rm(paths.pack);
    await syncFolder(dirname(paths.pack));
  });
  return kept;
}

/**
 * Makes the pack of a version from its disk again, as far as that goes: into `.partial`, where `VersionFiles` finds
 * each frame that is right.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FILE_NOT_FOUND, ERR_STORE_FULL, ERR_ABORTED
 */
export async function restorePack(
  paths: VersionPaths,
  disk: { readonly path: string; readonly format: UnpackFormat },
  options: WorkOptions = {},
): Promise<void> {
  const index = await openIndex(paths.index);
  const { shape, extents } = await layOutDisk(index, disk.format);
  const places = await sectorPlaces(index);
  const frames = await index.frames();
  const isThere = new Bitfield(index.layout.rows);
  await onDisk(paths.packPartial, async () => {
    const out = await openRest(paths.packPartial, index, false);
    try {
      const source = await open(disk.path, "r");
      try {
        const workers = new ImageWorkers(
          {
            level: 1,
            isBackground: options.background !== undefined,
            disk: { fd: source.fd, shape, extents: extents.arrays },
            pack: {
              fd: out.fd,
              head: packFacts(index.head),
              frames: frames.share(),
            },
          },
          options.threads,
        );
        try {
          await repackAll(workers, index, frames, places, isThere, options);
        } finally {
          await workers.close();
        }
      } finally {
        await source.close();
      }
      await out.datasync();
    } finally {
      await out.close();
    }
  });
  await writeAtomic(paths.have, encodeHaveMap(index.signed.id, isThere));
}

async function repackAll(
  workers: ImageWorkers,
  { head, layout }: IndexFile,
  frames: FrameTable,
  places: Float64Array,
  isThere: Bitfield,
  options: WorkOptions,
): Promise<void> {
  const tasks = frameTasks(head.codecs, frames.count);
  await runOrdered(
    tasks.length,
    workers.threads * 2,
    async (i) => {
      const { first, count, level } = tasks[i] ?? NO_FRAMES;
      const [from, to] = [frames.firstSector(first), frames.firstSector(first + count)];
      const packed = frames.offset(first + count) - frames.offset(first);
      await options.background?.io?.admit((to - from) * SECTOR_BYTES + packed, options.signal);
      throwIfStopped(options.signal);
      return await workers.run("repack", { first, count, level, places: places.slice(from, to) });
    },
    (flags, i) => {
      const { first, count } = tasks[i] ?? NO_FRAMES;
      for (let k = 0; k < count; k += 1) if (flags[k] === 1) isThere.add(layout.pieceRows + first + k);
      options.onProgress?.({
        phase: "pack",
        bytesDone: frames.offset(first + count),
        bytesTotal: frames.offset(frames.count),
      });
    },
  );
}

const NO_FRAMES = { first: 0, count: 0, level: 1 };

/** Runs of frames of one level. */
function frameTasks(codecs: readonly CodecEntry[], total: number): readonly (typeof NO_FRAMES)[] {
  const tasks: (typeof NO_FRAMES)[] = [];
  for (const [i, { firstFrame, level }] of codecs.entries()) {
    const end = codecs[i + 1]?.firstFrame ?? total;
    for (let first = firstFrame; first < end; first += FRAMES_PER_TASK) {
      // Level 0 is not known: what comes out is checked, so any may be tried.
      tasks.push({ first, count: Math.min(FRAMES_PER_TASK, end - first), level: Math.max(1, level) });
    }
  }
  return tasks;
}

/** Disk sector that shows each unique sector, -1 for those that none does. */
async function sectorPlaces(index: IndexFile): Promise<Float64Array> {
  const places = new Float64Array(index.head.counts.sectors).fill(-1);
  const map = await index.map();
  while (map.next()) {
    for (let i = 0; i < map.count; i += 1) places[map.sector + i] = map.position + i;
  }
  return places;
}

function isOnDisk(frames: FrameTable, frame: number, places: Float64Array): boolean {
  return !places.subarray(frames.firstSector(frame), frames.firstSector(frame + 1)).includes(-1);
}

/** The pack that is not whole: full size, with its header. */
async function openRest(path: string, { head, signed }: IndexFile, isNew: boolean): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT | (isNew ? constants.O_TRUNC : 0);
  const file = await open(path, flags, 0o600);
  await file.truncate(head.pack.length);
  await file.write(encodePackHeader(head.pack.length, signed.id), 0, PACK_HEADER_BYTES, 0);
  return file;
}

async function copyBytes(from: FileHandle, to: FileHandle, offset: number, length: number): Promise<number> {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await from.read(bytes, done, length - done, offset + done);
    if (bytesRead === 0) throw new AppError("ERR_STORE_CORRUPT", "the pack is shorter than its index says");
    done += bytesRead;
  }
  for (let done = 0; done < length; )
    done += (await to.write(bytes, done, length - done, offset + done)).bytesWritten;
  return length;
}
