import { randomBytes } from "node:crypto";
import { chmod, type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { toHex } from "@ckmesh/core";
import { cloneFile } from "../disk/clone-file.js";
import { fileError } from "./file-error.js";
import { fileErrorCode, storeError } from "./store-error.js";
import { syncFolder } from "./sync-folder.js";

/** Who writes touches the file all the time; older leftovers are those of a process that was killed. */
const ABANDONED_MS = 3_600_000;

/** A file that has another name until it is complete: `.NAME.HEX.tmp` in the same folder. */
export class TemporaryFile {
  readonly path: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  #isOpen = true;
  #isNamed = false;
  #isFlushing = false;
  #flush: Promise<void> = Promise.resolve();
  #flushFailure: { readonly err: unknown } | undefined;

  private constructor(path: string, temporary: string, handle: FileHandle) {
    this.path = path;
    this.#temporary = temporary;
    this.#handle = handle;
  }

  /**
   * Also removes what a killed process left of the same name an hour ago or longer.
   * @param mode while it is written
   * @throws {AppError} ERR_FILE_NOT_FOUND when there is no such folder, ERR_FILE_DENIED, ERR_STORE_FULL
   */
  static async create(path: string, mode = 0o644): Promise<TemporaryFile> {
    const folder = dirname(path);
    try {
      await removeAbandoned(folder, basename(path));
      const temporary = temporaryName(path);
      return new TemporaryFile(path, temporary, await open(temporary, "wx+", mode));
    } catch (err) {
      throw fileError(err, folder);
    }
  }

  /**
   * As `create`, with the content of `source`, whose blocks both share until one of them is written.
   * @returns undefined where the file system has no such clones
   * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_STORE_FULL
   */
  static async clone(path: string, source: string): Promise<TemporaryFile | undefined> {
    const temporary = temporaryName(path);
    try {
      await removeAbandoned(dirname(path), basename(path));
      if (!(await cloneFile(source, temporary))) return undefined;
      await chmod(temporary, 0o600); // The clone of a file that nobody may change is such a file too.
      return new TemporaryFile(path, temporary, await open(temporary, "r+"));
    } catch (err) {
      await rm(temporary, { force: true });
      throw fileError(err, source);
    }
  }

  /** Where it lies until it is complete. */
  get temporaryPath(): string {
    return this.#temporary;
  }

  get fd(): number {
    return this.#handle.fd;
  }

  /** @throws {AppError} ERR_STORE_FULL */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    await this.#guard(async () => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
    });
  }

  /** Reads back what was written. */
  async read(position: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(length);
    await this.#guard(async () => {
      for (let done = 0; done < length; ) {
        const { bytesRead } = await this.#handle.read(bytes, done, length - done, position + done);
        if (bytesRead === 0) throw new Error(`unreachable: ${this.path} lost bytes that were written`);
        done += bytesRead;
      }
    });
    return bytes;
  }

  async setSize(bytes: number): Promise<void> {
    await this.#guard(async () => await this.#handle.truncate(bytes));
  }

  /**
   * Begins to bring what was written to the disk, unless that is under way, so that `sync` finds little left:
   * 0.3 s less for a disk of 0.9 GB. What fails is thrown by `sync`.
   */
  flushSoon(): void {
    if (this.#isFlushing || !this.#isOpen) return;
    this.#isFlushing = true;
    this.#flush = this.#flushNow();
  }

  /** Never rejects: `sync` throws what failed. */
  async #flushNow(): Promise<void> {
    try {
      await this.#handle.datasync();
      this.#isFlushing = false;
    } catch (err) {
      this.#flushFailure = { err };
    }
  }

  /** Makes the content durable; call it for all files of a set before the first gets its name. */
  async sync(): Promise<void> {
    await this.#guard(async () => {
      await this.#flush;
      if (this.#flushFailure !== undefined) throw this.#flushFailure.err;
      await this.#handle.sync();
    });
  }

  /** Gives the synced file its final name. @param mode of the finished file */
  async commit(mode = 0o644): Promise<void> {
    await this.#guard(async () => {
      await this.#setMode(mode);
      await this.#close();
      await rename(this.#temporary, this.path);
      this.#isNamed = true;
      await syncFolder(dirname(this.path));
    });
  }

  /** Removes the file unless it has its final name. */
  async discard(): Promise<void> {
    await this.#close();
    if (!this.#isNamed) await rm(this.#temporary, { force: true });
  }

  async #setMode(mode: number): Promise<void> {
    try {
      await this.#handle.chmod(mode);
    } catch (err) {
      // FAT and SMB know no owner and refuse; elsewhere who made the file is its owner.
      if (fileErrorCode(err) !== "EPERM") throw err;
    }
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#flush;
    await this.#handle.close();
  }

  async #guard(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (err) {
      throw storeError(err, this.path);
    }
  }
}

function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.${toHex(randomBytes(6))}.tmp`);
}

/** True for the name that a `TemporaryFile` has until it is complete. */
export function isTemporaryName(name: string): boolean {
  return /^\..+\.[0-9a-f]{12}\.tmp$/.test(name);
}

async function removeAbandoned(folder: string, name: string): Promise<void> {
  for (const entry of await readdir(folder)) {
    if (!entry.startsWith(`.${name}.`) || !isTemporaryName(entry)) continue;
    const path = join(folder, entry);
    const stats = await stat(path).catch(() => undefined); // gone: another process cleaned up
    if (stats !== undefined && Date.now() - stats.mtimeMs > ABANDONED_MS) await rm(path, { force: true });
  }
}
