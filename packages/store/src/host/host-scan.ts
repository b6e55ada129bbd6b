import {
  type BigIntStats,
  closeSync,
  type Dir,
  lstatSync,
  opendirSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { MIB, sha256 } from "@ckmesh/core";
import { SECTOR_BYTES } from "@ckmesh/image";
import { fileErrorCode } from "../files/store-error.js";
import type { BlockRuns } from "./block-runs.js";
import type { FileStamp, HostFiles } from "./host-files.js";
import { HostNotes } from "./host-notes.js";
import { HostRoots, type UnreadFolder } from "./host-roots.js";
import type { MountPoints } from "./mount-points.js";
import { NumberSet } from "./number-set.js";
import { openHostFile } from "./open-host-file.js";

const READ_BYTES = MIB;
/** Entries of a folder that are looked up at once. */
const LOOKUP_ENTRIES = 256;
/** Folders within folders; no real tree is deeper. */
const MAX_DEPTH = 100;
/** Of all blocks that are noted, one file has so many at most: a larger one is a sparse file or somebody's disk. */
const MAX_FILE_SHARE = 1 / 2;
const ZERO_BLOCK = Buffer.alloc(SECTOR_BYTES);

export interface HostScanTask {
  /** Absolute. What is mounted below them is not entered, network and virtual file systems not touched. */
  readonly folders: readonly string[];
  /** Folders that are passed over. */
  readonly excluded: readonly string[];
}

export interface HostScanResult {
  /** Files whose blocks are known now, and those blocks. */
  readonly files: number;
  readonly blocks: number;
  /** Bytes of new and changed files, which were read. */
  readonly hashedBytes: number;
  /** Files and folders that could not be read: locked, gone, not for this account, or not named in UTF-8; `unread` too. */
  readonly skipped: number;
  /** Those of the task that could not be looked through at all. */
  readonly unread: readonly UnreadFolder[];
  /** Files that were not read: there is no room for their blocks, or they are one hole. */
  readonly leftOut: number;
  /** False: it was stopped. */
  readonly isComplete: boolean;
}

export interface HostScanParts {
  readonly files: HostFiles;
  readonly runs: BlockRuns;
  readonly mounts: MountPoints;
  /** Most blocks that are noted. */
  readonly maxBlocks: number;
  readonly isStopped: () => boolean;
  /** Called often, between small pieces of work. */
  readonly pause: () => Promise<void>;
  /** Called before so many bytes are read; resolves early when the look is to end. */
  readonly admit: (bytes: number) => Promise<void>;
}

interface FoundFile {
  readonly path: string;
  readonly stats: Stats;
}

/**
 * One look through folders of the host: hashes the 4-KiB blocks, the last one padded with zeros, of every file
 * whose size, time or inode changed. Runs in a thread of its own, with blocking reads. What was hashed is kept
 * when it is stopped or killed, but for the last few seconds.
 */
export class HostScan {
  readonly #parts: HostScanParts;
  readonly #notes: HostNotes;
  readonly #bytes = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Folders that are passed over, whatever they are called. */
  readonly #excluded = new Set<string>();
  readonly #seen = new NumberSet();
  readonly #roots = new HostRoots();
  #hashedBytes = 0;
  #skipped = 0;
  #leftOut = 0;

  constructor(parts: HostScanParts) {
    this.#parts = parts;
    this.#notes = new HostNotes(parts);
  }

  /** @throws what writing the index throws; what cannot be read is passed over */
  async run({ folders, excluded }: HostScanTask): Promise<HostScanResult> {
    const { files, runs } = this.#parts;
    for (const folder of excluded) {
      const stats = statSync(folder, { throwIfNoEntry: false, bigint: true });
      if (stats !== undefined) this.#excluded.add(identityOf(stats));
    }
    let isWhole = true;
    for (const folder of this.#roots.reach(folders, this.#parts.mounts))
      isWhole &&= await this.#lookThrough(folder);
    const { unread } = this.#roots;
    await this.flush();
    if (isWhole) {
      await files.completed((number, path) => !this.#seen.has(number) && this.#roots.covers(path));
    }
    return {
      files: files.count,
      blocks: runs.records,
      hashedBytes: this.#hashedBytes,
      skipped: this.#skipped + unread.length,
      unread,
      leftOut: this.#leftOut,
      isComplete: isWhole,
    };
  }

  /** Brings everything to the disk, so that it can be found. @throws what writing the index throws */
  async flush(): Promise<void> {
    await this.#notes.flush();
  }

  /** One of the folders of the task. @returns false when the look ended early */
  async #lookThrough(folder: string): Promise<boolean> {
    let own: BigIntStats;
    try {
      own = lstatSync(folder, { bigint: true });
      if (!own.isDirectory()) this.#roots.notRead(folder, "it is no folder");
      // An empty one is mostly the place of a disk that is not there.
      else if (isEmpty(folder)) this.#roots.notRead(folder, "it is empty");
      else this.#roots.read(folder);
    } catch (err) {
      this.#roots.refused(folder, err);
      return true;
    }
    return await this.#walk(folder, own.dev, 0);
  }

  /** @returns false when the look ended early */
  async #walk(folder: string, device: bigint, depth: number): Promise<boolean> {
    const own = this.#folder(folder);
    if (own?.dev !== device || this.#excluded.has(identityOf(own)) || depth > MAX_DEPTH) return true;
    const dir = this.#tried(() => opendirSync(folder));
    if (dir === undefined) return true;
    try {
      for (let batch = this.#read(folder, dir); batch.size > 0; batch = this.#read(folder, dir)) {
        const found: FoundFile[] = [];
        for (const [path, isFolder] of batch) {
          const stats = isFolder ? undefined : this.#tried(() => lstatSync(path));
          if (stats?.isFile() === true && stats.size > 0) found.push({ path, stats });
        }
        if (!(await this.#take(found))) return false;
        // One batch after the other, so that a folder of a million folders is never held in memory.
        for (const [path, isFolder] of batch)
          if (isFolder && !(await this.#walk(path, device, depth + 1))) return false;
      }
    } finally {
      dir.closeSync();
    }
    return true;
  }

  /**
   * Paths of the next files (false) and folders (true) of a folder; symbolic links and devices are left out, and
   * so is what is mounted there, which nobody may touch whose server may be gone.
   */
  #read(folder: string, dir: Dir): ReadonlyMap<string, boolean> {
    const batch = new Map<string, boolean>();
    while (batch.size < LOOKUP_ENTRIES) {
      const entry = this.#tried(() => dir.readSync()) ?? undefined;
      if (entry === undefined) break;
      if (!entry.isDirectory() && !entry.isFile()) continue;
      const path = join(folder, entry.name);
      if (!this.#parts.mounts.has(path)) batch.set(path, entry.isDirectory());
    }
    return batch;
  }

  async #take(found: readonly FoundFile[]): Promise<boolean> {
    const known = await this.#parts.files.find(found.map(({ path }) => path));
    for (const [i, file] of found.entries()) {
      const old = known[i];
      const blocks = Math.ceil(file.stats.size / SECTOR_BYTES);
      const isSame = old !== undefined && isSameStamp(old, stampOf(file.stats));
      // What was left out gets the room that others leave, and pushes nobody out.
      const isDone = isSame && !(old.isLeftOut && this.#notes.hasSpare(blocks));
      if (isSame) this.#seen.add(old.number);
      if (isSame && old.isLeftOut && isDone) this.#leftOut += 1;
      if (!isDone && !(await this.#learn(file, blocks))) return false;
    }
    await this.#parts.pause();
    return !this.#parts.isStopped();
  }

  /** Hashes a file if its blocks are to be noted. @returns false when the look is to end */
  async #learn({ path, stats }: FoundFile, blocks: number): Promise<boolean> {
    if (isHole(stats) || blocks > this.#parts.maxBlocks * MAX_FILE_SHARE) {
      this.#leftOut += 1;
      return true;
    }
    if (await this.#notes.makeRoom(blocks)) return await this.#hash(path);
    this.#leftOut += 1;
    this.#seen.add(await this.#notes.leaveOut(path, stampOf(stats)));
    return true;
  }

  /** @returns false when the look is to end */
  async #hash(path: string): Promise<boolean> {
    const opened = openHostFile(path);
    if (opened === undefined) {
      this.#skipped += 1;
      return true;
    }
    const { fd, stats } = opened;
    const number = this.#notes.begin();
    let noted = 0;
    try {
      for (let at = 0; at < stats.size; at += READ_BYTES) {
        await this.#parts.admit(Math.min(READ_BYTES, stats.size - at));
        if (this.#parts.isStopped()) {
          this.#notes.abandon(number);
          return false;
        }
        const length = this.#tried(() => readSync(fd, this.#bytes, 0, READ_BYTES, at));
        // A lock, or a disk that fails: looked at again the next time.
        if (length === undefined) {
          this.#notes.abandon(number);
          return true;
        }
        noted += await this.#add(length, number, at / SECTOR_BYTES);
        await this.#parts.pause();
        if (this.#parts.isStopped()) {
          this.#notes.abandon(number);
          return false;
        }
        if (length < READ_BYTES) break;
      }
    } finally {
      closeSync(fd);
    }
    this.#hashedBytes += stats.size;
    this.#seen.add(number);
    // One that was written meanwhile has another time now, and is hashed again the next time.
    await this.#notes.end(path, stampOf(stats), number, noted);
    return true;
  }

  /** Hashes what lies in `#bytes`. @returns blocks that were noted */
  async #add(length: number, number: number, firstBlock: number): Promise<number> {
    const end = Math.ceil(length / SECTOR_BYTES) * SECTOR_BYTES;
    this.#bytes.fill(0, length, end);
    let noted = 0;
    for (let at = 0; at < end; at += SECTOR_BYTES) {
      const block = this.#bytes.subarray(at, at + SECTOR_BYTES);
      if (block.equals(ZERO_BLOCK)) continue; // no image has them
      await this.#notes.add(sha256(block), number, firstBlock + at / SECTOR_BYTES);
      noted += 1;
    }
    return noted;
  }

  /** Numbers of inodes on Windows are longer than a double holds exactly. */
  #folder(path: string): BigIntStats | undefined {
    const stats = this.#tried(() => lstatSync(path, { bigint: true }));
    return stats?.isDirectory() === true ? stats : undefined;
  }

  /** What the operating system refuses is passed over. */
  #tried<T>(look: () => T): T | undefined {
    try {
      return look();
    } catch (err) {
      if (fileErrorCode(err) === undefined) throw err;
      this.#skipped += 1;
      return undefined;
    }
  }
}

/** @throws what the file system says when it may not be opened */
function isEmpty(folder: string): boolean {
  const dir = opendirSync(folder);
  try {
    return dir.readSync() === null;
  } finally {
    dir.closeSync();
  }
}

/**
 * Not a single byte of it lies on the disk. Small files lie in tables of some file systems; elsewhere than on Linux
 * compressed files lie where nobody counts.
 */
function isHole({ blocks, size }: Stats): boolean {
  return process.platform === "linux" && blocks === 0 && size > SECTOR_BYTES;
}

function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev}:${ino}`;
}

function stampOf({ size, mtimeMs, ino }: Stats): FileStamp {
  return { size, mtimeMs, inode: ino };
}

function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.size === b.size && a.mtimeMs === b.mtimeMs && a.inode === b.inode;
}
