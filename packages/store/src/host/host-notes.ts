import { BlockBuffer } from "./block-buffer.js";
import type { BlockRuns } from "./block-runs.js";
import type { FileStamp, HostFiles, NewFile } from "./host-files.js";

/** Blocks that are kept in memory before they go to the disk as one run: 7 MB, and as much for sorting. */
const BUFFER_BLOCKS = 512 * 1024;
/** Files are noted in the database at the latest after this many: what a crash makes to be hashed again. */
const MAX_PENDING_FILES = 10_000;
/** What is left of the index when it was full, so that room is not made for each file anew. */
const KEPT_SHARE = 7 / 8;

export interface HostNotesParts {
  readonly files: HostFiles;
  readonly runs: BlockRuns;
  /** Most blocks in the index; a merge takes as much of the disk once more while it runs. */
  readonly maxBlocks: number;
}

/**
 * What one look through the folders has found, on its way to the disk: blocks, and the files that they are of.
 * A file is live from its first block on, so that merges in between keep what there is of it.
 */
export class HostNotes {
  readonly #parts: HostNotesParts;
  readonly #buffer = new BlockBuffer(BUFFER_BLOCKS);
  /** Hashed, but some of their blocks may still be in the buffer. */
  #pending: NewFile[] = [];
  /** Numbers of files that have blocks and are not in the database yet. */
  readonly #open = new Set<number>();
  #flushing: Promise<void> = Promise.resolve();
  /** Blocks were lost: what has any of them must not be noted as known. */
  #failure: Error | undefined;
  /** In a first look: nothing more is to be had by merging. */
  #isFull = false;

  constructor(parts: HostNotesParts) {
    this.#parts = parts;
  }

  /** Begins a file. @returns its number */
  begin(): number {
    const number = this.#parts.files.takeNumber();
    this.#open.add(number);
    return number;
  }

  /** @param hash whose first 6 bytes are the id of the block. @throws what writing the index throws */
  async add(hash: Uint8Array, number: number, block: number): Promise<void> {
    this.#buffer.add(hash, number, block);
    if (this.#buffer.isFull) await this.flush();
  }

  /** Ends a file, all of whose blocks were added. @throws what writing the index throws */
  async end(path: string, stamp: FileStamp, number: number, blocks: number): Promise<void> {
    await this.#note({ ...stamp, path, number, blocks, isLeftOut: false });
  }

  /** Ends a file that was not read to its end. */
  abandon(number: number): void {
    this.#open.delete(number);
  }

  /** Notes a file without its blocks. @returns its number. @throws what writing the index throws */
  async leaveOut(path: string, stamp: FileStamp): Promise<number> {
    const number = this.#parts.files.takeNumber();
    await this.#note({ ...stamp, path, number, blocks: 0, isLeftOut: true });
    return number;
  }

  /** There is room for so many blocks without anything being given up, and some to spare. */
  hasSpare(blocks: number): boolean {
    return this.#used + blocks <= this.#parts.maxBlocks * KEPT_SHARE;
  }

  /**
   * Sees to it that there is room for so many blocks: what is gone or changed goes first; after the first look, in
   * which the order of the folders counts, then the files that were noted first.
   * @returns false: there is none
   * @throws what writing the index throws
   */
  async makeRoom(blocks: number): Promise<boolean> {
    const { files, runs, maxBlocks } = this.#parts;
    const hasRoom = (): boolean => this.#used + blocks <= maxBlocks;
    if (hasRoom() || this.#isFull) return hasRoom();
    const target = Math.max(0, Math.min(maxBlocks * KEPT_SHARE, maxBlocks - blocks));
    await this.flush();
    await runs.mergeAll((number) => this.#isLive(number));
    if (!files.isComplete) this.#isFull = this.#used > target;
    else
      while (this.#used > target && (await files.leaveOutOldest(this.#used - target)) > 0)
        await runs.mergeAll((number) => this.#isLive(number));
    return hasRoom();
  }

  /** Brings everything to the disk, so that it can be found. @throws what writing the index throws, now or before */
  async flush(): Promise<void> {
    const done = this.#flushing.then(() => this.#flush());
    this.#flushing = done.catch(() => {}); // whoever asked hears of it
    await done;
  }

  get #used(): number {
    return this.#parts.runs.records + this.#buffer.count;
  }

  async #note(file: NewFile): Promise<void> {
    this.#pending.push(file);
    if (this.#pending.length >= MAX_PENDING_FILES) await this.flush();
  }

  async #flush(): Promise<void> {
    const { files, runs } = this.#parts;
    if (this.#failure !== undefined) throw this.#failure;
    const pending = this.#pending;
    this.#pending = [];
    try {
      runs.add(this.#buffer.take());
      await files.put(pending);
      for (const { number } of pending) this.#open.delete(number);
      await runs.compact((number) => this.#isLive(number));
    } catch (err) {
      this.#failure = err instanceof Error ? err : new Error("blocks were not written", { cause: err });
      throw err;
    }
  }

  #isLive(number: number): boolean {
    return this.#open.has(number) || this.#parts.files.isLive(number);
  }
}
