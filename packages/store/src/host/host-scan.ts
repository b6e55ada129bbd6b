import { closeSync, type Dir, lstatSync, opendirSync, readSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { MIB, sha256 } from "@ckmesh/core";
import { SECTOR_BYTES } from "@ckmesh/image";
import { fileErrorCode } from "../files/store-error.js";
import { BlockBuffer } from "./block-buffer.js";
import type { BlockRuns } from "./block-runs.js";
import { isOffDisk } from "./file-system-kind.js";
import type { FileStamp, HostFiles, NewFile } from "./host-files.js";
import { NumberSet } from "./number-set.js";
import { openHostFile } from "./open-host-file.js";

/** Blocks that are kept in memory before they go to the disk as one run: 7 MB, and as much for sorting. */
const BUFFER_BLOCKS = 512 * 1024;
/** Files are noted in the database at the latest after this many: what a crash makes to be hashed again. */
const MAX_PENDING_FILES = 10_000;
/** Most blocks that are noted, of 128 GiB of files: 450 MB on the disk. */
const MAX_BLOCKS = 32 * 1024 * 1024;
const READ_BYTES = MIB;
/** Files of a folder that are looked up at once. */
const LOOKUP_FILES = 256;
/** Folders within folders; no real tree is deeper, a loop of bind mounts is. */
const MAX_DEPTH = 100;
const ZERO_BLOCK = Buffer.alloc(SECTOR_BYTES);

export interface HostScanTask {
  /** Absolute; none lies in another. Their file systems are not left, network and virtual ones not entered. */
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
  /** Files and folders that could not be read: locked, gone, or not for this account. */
  readonly skipped: number;
  /** False: it was stopped, or there were more blocks than are noted. */
  readonly isComplete: boolean;
}

export interface HostScanParts {
  readonly files: HostFiles;
  readonly runs: BlockRuns;
  readonly isStopped: () => boolean;
  /** Called often, between small pieces of work. */
  readonly pause: () => Promise<void>;
  /** Called before so many bytes are read; resolves early when the look is to end. */
  readonly admit: (bytes: number) => Promise<void>;
}

/**
 * One look through folders of the host: hashes the 4-KiB blocks, the last one padded with zeros, of every file
 * whose size, time or inode changed. Runs in a thread of its own, with blocking reads. What was hashed is kept
 * when it is stopped or killed, but for the last few seconds.
 */
export class HostScan {
  readonly #parts: HostScanParts;
  readonly #buffer = new BlockBuffer(BUFFER_BLOCKS);
  readonly #bytes = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Hashed, but some of their blocks are still in the buffer. */
  #pending: NewFile[] = [];
  /** Folders that are passed over, whatever they are called. */
  readonly #excluded = new Set<string>();
  /** The file that is being hashed; 0: none. */
  #current = 0;
  readonly #seen = new NumberSet();
  #flushing: Promise<void> = Promise.resolve();
  #hashedBytes = 0;
  #skipped = 0;

  constructor(parts: HostScanParts) {
    this.#parts = parts;
  }

  /** @throws what writing the index throws; what cannot be read is passed over */
  async run({ folders, excluded }: HostScanTask): Promise<HostScanResult> {
    const { files, runs } = this.#parts;
    for (const folder of excluded) {
      const stats = statSync(folder, { throwIfNoEntry: false });
      if (stats !== undefined) this.#excluded.add(identityOf(stats));
    }
    let isWhole = true;
    for (const folder of folders) {
      const stats = isOffDisk(folder) ? undefined : this.#stat(folder);
      if (stats?.isDirectory() === true) isWhole &&= await this.#walk(folder, stats, 0);
    }
    await this.flush();
    if (isWhole) await files.completed((number) => this.#seen.has(number));
    return {
      files: files.count,
      blocks: runs.records,
      hashedBytes: this.#hashedBytes,
      skipped: this.#skipped,
      isComplete: isWhole,
    };
  }

  /** Brings everything to the disk, so that it can be found. */
  async flush(): Promise<void> {
    const done = this.#flushing.then(() => this.#flush());
    this.#flushing = done.catch(() => {}); // whoever asked hears of it
    await done;
  }

  async #flush(): Promise<void> {
    const { files, runs } = this.#parts;
    const pending = this.#pending;
    this.#pending = [];
    runs.add(this.#buffer.take());
    await files.put(pending);
    for (const { number } of pending) this.#seen.add(number);
    await runs.compact((number) => number === this.#current || files.isLive(number));
  }

  /** @returns false when the look ended early */
  async #walk(folder: string, own: Stats, depth: number): Promise<boolean> {
    if (this.#excluded.has(identityOf(own)) || depth > MAX_DEPTH) return true;
    const dir = this.#tried(() => opendirSync(folder));
    if (dir === undefined) return true;
    const folders: { path: string; stats: Stats }[] = [];
    try {
      for (let batch = this.#read(dir); batch.length > 0; batch = this.#read(dir)) {
        const found: { path: string; stats: Stats }[] = [];
        for (const { name, isFolder } of batch) {
          const path = join(folder, name);
          const stats = this.#stat(path);
          if (isFolder && stats?.dev === own.dev) folders.push({ path, stats });
          else if (stats?.isFile() === true && stats.size > 0) found.push({ path, stats });
        }
        if (!(await this.#take(found))) return false;
      }
    } finally {
      dir.closeSync();
    }
    for (const { path, stats } of folders) if (!(await this.#walk(path, stats, depth + 1))) return false;
    return true;
  }

  /** The next files and folders of a folder; symbolic links and devices are left out. */
  #read(dir: Dir): { readonly name: string; readonly isFolder: boolean }[] {
    const batch: { name: string; isFolder: boolean }[] = [];
    while (batch.length < LOOKUP_FILES) {
      const entry = this.#tried(() => dir.readSync()) ?? undefined;
      if (entry === undefined) break;
      if (entry.isDirectory() || entry.isFile())
        batch.push({ name: entry.name, isFolder: entry.isDirectory() });
    }
    return batch;
  }

  async #take(found: readonly { readonly path: string; readonly stats: Stats }[]): Promise<boolean> {
    const known = await this.#parts.files.find(found.map(({ path }) => path));
    for (const [i, { path, stats }] of found.entries()) {
      const old = known[i];
      if (old !== undefined && isSame(old, stampOf(stats))) this.#seen.add(old.number);
      else if (!(await this.#hash(path))) return false;
    }
    await this.#parts.pause();
    return !this.#parts.isStopped();
  }

  /** @returns false when the look is to end */
  async #hash(path: string): Promise<boolean> {
    const opened = openHostFile(path);
    if (opened === undefined) {
      this.#skipped += 1;
      return true;
    }
    const { fd, stats } = opened;
    const number = this.#parts.files.takeNumber();
    this.#current = number;
    try {
      const blocks = Math.ceil(stats.size / SECTOR_BYTES);
      if (this.#parts.runs.records + this.#buffer.count + blocks > MAX_BLOCKS) return false;
      for (let at = 0; at < stats.size; at += READ_BYTES) {
        await this.#parts.admit(Math.min(READ_BYTES, stats.size - at));
        if (this.#parts.isStopped()) return false;
        const length = this.#tried(() => readSync(fd, this.#bytes, 0, READ_BYTES, at)) ?? 0;
        await this.#add(length, number, at / SECTOR_BYTES);
        await this.#parts.pause();
        if (this.#parts.isStopped()) return false;
        if (length < READ_BYTES) break;
      }
      this.#hashedBytes += stats.size;
    } finally {
      closeSync(fd);
      this.#current = 0;
    }
    // One that was written meanwhile has another time now, and is hashed again the next time.
    this.#pending.push({ path, number, ...stampOf(stats) });
    if (this.#pending.length >= MAX_PENDING_FILES) await this.flush();
    return true;
  }

  /** Hashes what lies in `#bytes`. */
  async #add(length: number, file: number, firstBlock: number): Promise<void> {
    const end = Math.ceil(length / SECTOR_BYTES) * SECTOR_BYTES;
    this.#bytes.fill(0, length, end);
    for (let at = 0; at < end; at += SECTOR_BYTES) {
      const block = this.#bytes.subarray(at, at + SECTOR_BYTES);
      if (block.equals(ZERO_BLOCK)) continue; // no image has them
      this.#buffer.add(sha256(block), file, firstBlock + at / SECTOR_BYTES);
      if (this.#buffer.isFull) await this.flush();
    }
  }

  #stat(path: string): Stats | undefined {
    return this.#tried(() => lstatSync(path));
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

function identityOf({ dev, ino }: Stats): string {
  return `${dev}:${ino}`;
}

function stampOf({ size, mtimeMs, ino }: Stats): FileStamp {
  return { size, mtimeMs, inode: ino };
}

function isSame(a: FileStamp, b: FileStamp): boolean {
  return a.size === b.size && a.mtimeMs === b.mtimeMs && a.inode === b.inode;
}
