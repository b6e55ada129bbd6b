import { constants, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { AppError, type Clock, type Logger } from "@ckmesh/core";
import type { FileStamp } from "../catalogue/catalogue.js";

/** Idle files that stay open. */
const MAX_IDLE = 128;
/** An open file is held against its stamp again after this time. */
const RECHECK_MS = 1000;
/** Where there are links, they are not followed: only the folder's own files are served. */
const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** What opening says of a file that was taken away, or has something else in its place. */
const GONE: ReadonlySet<unknown> = new Set(["ENOENT", "ENOTDIR", "ELOOP", "ENXIO"]);

/** A file in use; `release` exactly once. */
export interface OpenFile {
  readonly fd: number;
  release(): void;
}

interface Entry {
  readonly handle: FileHandle;
  users: number;
  checkedAt: number;
  isEvicted: boolean;
}

/** Keeps served files open between requests, and refuses one that is no longer what was checked. */
export class OpenFiles {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #entries = new Map<string, Entry>();
  readonly #opening = new Map<string, Promise<Entry>>();

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /**
   * Opens a file for one answer.
   * @throws {AppError} ERR_IMAGE_NOT_FOUND when it vanished or is not what was checked
   * @throws {Error} of the file system when it cannot be opened for another reason
   */
  async acquire(stamp: FileStamp): Promise<OpenFile> {
    const key = stampKey(stamp);
    let entry: Entry;
    do {
      // Evicted between its opening and here: once more.
      entry = this.#entries.get(key) ?? (await this.#open(key, stamp)); // oxlint-disable-line no-await-in-loop
    } while (entry.isEvicted);
    entry.users += 1;
    this.#trim();
    try {
      if (this.#clock.now() - entry.checkedAt >= RECHECK_MS) {
        checkStamp(await entry.handle.stat(), stamp);
        entry.checkedAt = this.#clock.now();
      }
    } catch (err) {
      this.#evict(key, entry);
      this.#release(entry);
      throw err;
    }
    let isReleased = false;
    return {
      fd: entry.handle.fd,
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#release(entry);
      },
    };
  }

  /** Lets go of a file that is no longer published; answers under way keep it until they end. */
  evict(stamp: FileStamp): void {
    const key = stampKey(stamp);
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#evict(key, entry);
  }

  close(): void {
    for (const [key, entry] of this.#entries) this.#evict(key, entry);
  }

  async #open(key: string, stamp: FileStamp): Promise<Entry> {
    const underway = this.#opening.get(key);
    if (underway !== undefined) return underway;
    const opening = openChecked(stamp, this.#clock.now()).finally(() => this.#opening.delete(key));
    this.#opening.set(key, opening);
    const entry = await opening;
    if (!entry.isEvicted) this.#entries.set(key, entry);
    return entry;
  }

  #trim(): void {
    if (this.#entries.size <= MAX_IDLE) return;
    for (const [key, entry] of this.#entries) {
      if (entry.users === 0) {
        this.#evict(key, entry);
        return;
      }
    }
  }

  #evict(key: string, entry: Entry): void {
    if (this.#entries.get(key) === entry) this.#entries.delete(key);
    if (entry.isEvicted) return;
    entry.isEvicted = true;
    if (entry.users === 0) this.#closeHandle(entry);
  }

  #release(entry: Entry): void {
    entry.users -= 1;
    if (entry.users === 0 && entry.isEvicted) this.#closeHandle(entry);
  }

  #closeHandle(entry: Entry): void {
    entry.handle.close().catch((err: unknown) => this.#logger.warn({ err }, "cannot close a served file"));
  }
}

async function openChecked(stamp: FileStamp, now: number): Promise<Entry> {
  let handle: FileHandle;
  try {
    handle = await open(stamp.path, FLAGS);
  } catch (cause) {
    // Anything else, such as too many open files, is no fault of the file: 404 would say that it is gone.
    if (cause instanceof Error && "code" in cause && GONE.has(cause.code)) throw gone(cause);
    throw cause;
  }
  try {
    checkStamp(await handle.stat(), stamp);
  } catch (err) {
    await handle.close();
    throw err;
  }
  return { handle, users: 0, checkedAt: now, isEvicted: false };
}

function checkStamp(stats: Stats, stamp: FileStamp): void {
  if (stats.size !== stamp.size || stats.mtimeMs !== stamp.mtimeMs || stats.ino !== stamp.ino) throw gone();
}

function gone(cause?: unknown): AppError {
  return new AppError("ERR_IMAGE_NOT_FOUND", "the file is not there any more, or it was changed", { cause });
}

function stampKey(stamp: FileStamp): string {
  return `${stamp.ino}:${stamp.size}:${stamp.mtimeMs}:${stamp.path}`;
}
