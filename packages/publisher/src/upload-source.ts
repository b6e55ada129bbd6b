import { type FileHandle, open, stat } from "node:fs/promises";
import { AppError, describeError } from "@ckmesh/core";

/** What is uploaded: as a rule a file. */
export interface UploadSource {
  readonly size: number;
  /** Changes when the content does: an upload that was broken off goes on only with the same one. */
  readonly stamp: string;
  /**
   * The bytes from `first` to `last`, both included; parts may be kept.
   * @throws {AppError} ERR_UPLOAD_CONFLICT when the content is no longer what it was
   */
  read(first: number, last: number): AsyncIterable<Uint8Array>;
  /** Whether the content still is what it was at first. */
  isUnchanged(): Promise<boolean>;
}

/** Read at a time; a fifth less CPU time than with 256 KiB, and little memory for the three that there are at most. */
const PART_BYTES = 1024 * 1024;

/** A file, whose size and time must stay ([MC-BUP]'s clients hold it so, too). */
export class FileSource implements UploadSource {
  readonly size: number;
  readonly stamp: string;
  readonly #path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, size: number, stamp: string) {
    this.#path = path;
    this.#handle = handle;
    this.size = size;
    this.stamp = stamp;
  }

  /** @throws what the operating system says of the file */
  static async open(path: string): Promise<FileSource> {
    const handle = await open(path, "r");
    try {
      const { size, mtimeMs } = await handle.stat();
      return new FileSource(path, handle, size, stampOf(size, mtimeMs));
    } catch (err) {
      await handle.close();
      throw err;
    }
  }

  async *read(first: number, last: number): AsyncGenerator<Uint8Array> {
    let next = this.#ahead(first, last);
    for (let at = first; at <= last; ) {
      const part = await next();
      at += part.length;
      next = this.#ahead(at, last);
      yield part;
    }
  }

  async isUnchanged(): Promise<boolean> {
    try {
      // By its path: a file that was replaced is another one.
      const { size, mtimeMs } = await stat(this.#path);
      return stampOf(size, mtimeMs) === this.stamp;
    } catch {
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  /** Begins to read a part, so that it is there when the one before it has been sent. */
  #ahead(first: number, last: number): () => Promise<Uint8Array> {
    if (first > last) return async () => Buffer.alloc(0);
    const part = this.#part(first, Math.min(PART_BYTES, last + 1 - first));
    part.catch(() => {}); // told to whoever asks for it; nobody does when the fragment is given up
    return async () => await part;
  }

  async #part(first: number, length: number): Promise<Uint8Array> {
    let bytesRead: number;
    const buffer = Buffer.allocUnsafeSlow(length);
    try {
      ({ bytesRead } = await this.#handle.read(buffer, 0, length, first));
    } catch (cause) {
      throw new AppError("ERR_FILE_DENIED", `${this.#path} cannot be read: ${describeError(cause)}`, {
        cause,
      });
    }
    if (bytesRead === 0) throw new AppError("ERR_UPLOAD_CONFLICT", `${this.#path} became shorter`);
    return buffer.subarray(0, bytesRead);
  }
}

function stampOf(size: number, mtimeMs: number): string {
  return `${size}-${mtimeMs}`;
}
