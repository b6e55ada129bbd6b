import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError, Bitfield, equalBytes, sha256 } from "@ckmesh/core";
import {
  type CodecEntry,
  FRAME_RECORD_BYTES,
  type FrameTable,
  HASH_BYTES,
  type IndexFile,
  indexFileName,
  MAX_CODECS,
  parseServedName,
} from "@ckmesh/image";
import { fileError } from "../files/file-error.js";
import { readFully } from "../files/file-io.js";
import { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import type { FrameWriter } from "../pack/frame-writer.js";
import { openIndex } from "../pack/open-index.js";
import { openPack, type PackFile } from "../pack/pack-file.js";
import type { SectorTable } from "../pack/sector-table.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";

const FRAMES_PER_TASK = 64;
const COPY_BYTES = 1 << 20;

/** An older version whose frames a new pack may keep. */
export class PreviousVersion {
  readonly index: IndexFile;
  readonly frames: FrameTable;
  readonly #pack: PackFile;

  private constructor(index: IndexFile, pack: PackFile) {
    this.index = index;
    this.frames = pack.frames;
    this.#pack = pack;
  }

  /**
   * Opens an index, or the newest index of `name` in a folder, with the pack beside it.
   * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_USAGE
   */
  static async open(path: string, name: string): Promise<PreviousVersion> {
    const indexPath = await findIndex(path, name);
    const index = await openIndex(indexPath);
    if (index.head.name !== name) {
      throw new AppError("ERR_USAGE", `${indexPath} is an index of ${index.head.name}, not of ${name}`);
    }
    if (index.head.disk === undefined) {
      throw new AppError("ERR_USAGE", `${indexPath} describes an opaque pack: nothing of it can be kept`);
    }
    const pack = await openPack(indexPath.slice(0, -".index".length), index);
    return new PreviousVersion(index, pack);
  }

  /**
   * Reads the whole old pack, proves it, and numbers its sectors in `table`, from 0.
   * @throws {AppError} ERR_PACK_INVALID
   */
  async hashSectors(table: SectorTable, options: WorkOptions): Promise<void> {
    const workers = new ImageWorkers({ level: 1, pack: this.#pack.setup }, options.threads);
    const { frames } = this;
    try {
      await runOrdered(
        Math.ceil(frames.count / FRAMES_PER_TASK),
        workers.threads * 2,
        async (i) => {
          throwIfStopped(options.signal);
          const first = i * FRAMES_PER_TASK;
          const count = Math.min(FRAMES_PER_TASK, frames.count - first);
          return await workers.run("hash", { first, count, decode: true });
        },
        (hashes, i) => {
          for (let entry = 0; entry < (hashes.length * 4) / HASH_BYTES; entry += 1)
            table.append(hashes, entry);
          const end = Math.min((i + 1) * FRAMES_PER_TASK, frames.count);
          options.onProgress?.({
            phase: "previous",
            bytesDone: frames.offset(end),
            bytesTotal: frames.offset(frames.count),
          });
        },
      );
    } finally {
      await workers.close();
    }
  }

  /** The frames at least half of whose sectors are in `live`. */
  chooseKept(live: Bitfield): Bitfield {
    const kept = new Bitfield(this.frames.count);
    for (let frame = 0; frame < this.frames.count; frame += 1) {
      const first = this.frames.firstSector(frame);
      const count = this.frames.sectorCount(frame);
      let used = 0;
      for (let sector = first; sector < first + count; sector += 1) if (live.has(sector)) used += 1;
      if (used * 2 >= count) kept.add(frame);
    }
    return kept;
  }

  /**
   * Copies kept frames into a new pack as they are; each is checked once more.
   * @throws {AppError} ERR_PACK_INVALID
   */
  async copyKept(kept: Bitfield, writer: FrameWriter): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(COPY_BYTES);
    for (const run of kept.runs()) {
      const end = run.first + run.count;
      for (let first = run.first; first < end; ) {
        const start = this.frames.offset(first);
        let next = first + 1;
        while (next < end && this.frames.offset(next + 1) - start <= COPY_BYTES) next += 1;
        const bytes = buffer.subarray(0, this.frames.offset(next) - start);
        if (!readFully(this.#pack.setup.fd, bytes, start)) throw damaged(first);
        for (let frame = first; frame < next; frame += 1) {
          const packed = bytes.subarray(
            this.frames.offset(frame) - start,
            this.frames.offset(frame + 1) - start,
          );
          if (!equalBytes(sha256(packed), this.frames.hash(frame))) throw damaged(frame);
        }
        const records = this.#pack.frames.records.slice(
          first * FRAME_RECORD_BYTES,
          next * FRAME_RECORD_BYTES,
        );
        await writer.appendPacked(bytes, records);
        first = next;
      }
    }
  }

  async close(): Promise<void> {
    await this.#pack.close();
  }
}

/**
 * The codecs of a new version: those of the frames that it keeps, then its own. Beyond the limit the oldest
 * are merged into one of unknown level, which nobody re-creates frames with.
 */
export function mergeCodecs(
  old: readonly CodecEntry[],
  kept: Bitfield,
  own: Omit<CodecEntry, "firstFrame">,
  frames: number,
): readonly CodecEntry[] {
  const merged: CodecEntry[] = [];
  const add = (entry: Omit<CodecEntry, "firstFrame">, firstFrame: number): void => {
    const last = merged.at(-1);
    if (last !== undefined && last.level === entry.level && equalBytes(last.fingerprint, entry.fingerprint))
      return;
    const { name, level, fingerprint } = entry;
    merged.push({ name, level, fingerprint, firstFrame });
  };
  let frame = 0;
  for (const [i, entry] of old.entries()) {
    const end = old[i + 1]?.firstFrame ?? kept.length;
    let count = 0;
    for (const run of kept.runs(true, entry.firstFrame, end - entry.firstFrame)) count += run.count;
    if (count > 0) add(entry, frame);
    frame += count;
  }
  if (frame < frames || frames === 0) add(own, frame);
  const unknown = { name: "zstd", level: 0, fingerprint: new Uint8Array(HASH_BYTES), firstFrame: 0 } as const;
  return merged.length <= MAX_CODECS ? merged : [unknown, ...merged.slice(1 - MAX_CODECS)];
}

async function findIndex(path: string, name: string): Promise<string> {
  try {
    if (!(await stat(path)).isDirectory()) return path;
    let newest = 0;
    for (const entry of await readdir(path)) {
      const served = parseServedName(entry);
      if (served?.kind !== "index" || served.name !== name || served.from !== undefined) continue;
      newest = Math.max(newest, served.version ?? 0);
    }
    if (newest === 0) throw new AppError("ERR_FILE_NOT_FOUND", `${path} has no index of ${name}`);
    return join(path, indexFileName(name, newest));
  } catch (err) {
    throw fileError(err, path);
  }
}

function damaged(frame: number): AppError {
  return new AppError(
    "ERR_PACK_INVALID",
    `the pack of the previous version is damaged at frame ${frame}; get it again, or pack without --previous`,
  );
}
