import { write } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { BufferPool } from "../serve/buffer-pool.js";

/** One write of 256 KiB instead of four: sockets give 64 KiB at most at a time. */
const BLOCK_BYTES = 256 * 1024;
/** 16 MiB of idle blocks at most. */
const pool = new BufferPool(BLOCK_BYTES, 64);

/** A file that grows. */
export interface GrowingFile {
  /** @returns bytes written, which may be fewer */
  write(bytes: Uint8Array, position: number): Promise<number>;
  truncate(length: number): Promise<void>;
}

export interface BodyWriterOptions {
  readonly file: GrowingFile;
  /** Where the file ends. */
  readonly offset: number;
  /** `bytes` are in the file at `offset`; valid until it has returned. */
  readonly wrote: (bytes: Uint8Array, offset: number) => void | Promise<void>;
}

/** Appends a body to a file: one block is written while the next one fills. */
export class BodyWriter {
  readonly #options: BodyWriterOptions;
  #block: Buffer | undefined;
  #filled = 0;
  #end: number;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: BodyWriterOptions) {
    this.#options = options;
    this.#end = options.offset;
  }

  /** What is in the file, and was told. */
  get end(): number {
    return this.#end;
  }

  /** Copies: the caller may use `chunk` again. */
  async add(chunk: Uint8Array): Promise<void> {
    for (let from = 0; from < chunk.length; ) {
      this.#block ??= pool.take();
      const part = chunk.subarray(from, from + this.#block.length - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      from += part.length;
      if (this.#filled === this.#block.length) await this.#flush();
    }
  }

  /**
   * Writes what is left, also after the body broke off.
   * @throws {Error} of the file system; then the file ends where `end` says
   */
  async finish(): Promise<void> {
    try {
      await this.#flush();
      await this.#writing;
    } catch (err) {
      // Part of a block may be there: neither counted nor told to anybody.
      await this.#options.file.truncate(this.#end);
      throw err;
    }
  }

  async #flush(): Promise<void> {
    await this.#writing;
    const block = this.#block;
    if (block === undefined) return;
    const bytes = block.subarray(0, this.#filled);
    this.#block = undefined;
    this.#filled = 0;
    this.#writing = this.#write(bytes).finally(() => pool.give(block));
    this.#writing.catch(() => {}); // Told to whoever adds or finishes next.
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const { file, wrote } = this.#options;
    const offset = this.#end;
    for (let from = 0; from < bytes.length; ) from += await file.write(bytes.subarray(from), offset + from);
    await wrote(bytes, offset);
    this.#end = offset + bytes.length;
  }
}

/** Writes by callback: promises of `FileHandle` cost three times as much (test/bench/bits-upload-bench.ts). */
export function growingFile(handle: FileHandle): GrowingFile {
  return {
    write: (bytes, position) =>
      new Promise((resolve, reject) => {
        write(handle.fd, bytes, 0, bytes.length, position, (err, written) => {
          if (err === null) resolve(written);
          else reject(err);
        });
      }),
    truncate: (length) => handle.truncate(length),
  };
}
