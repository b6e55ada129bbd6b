import { type FileHandle, open } from "node:fs/promises";
import { type Clock, describeError, type Logger, rowBlocks } from "@ckmesh/core";
import { within } from "./within.js";

/** Reads that failed, one after the other: the disk was taken away. */
const MAX_UNREAD = 64;
/** A read that is not answered for this long: the disk, or the share, is gone. */
const ANSWER_MS = 30_000;

export interface FolderFileOptions {
  readonly clock: Clock;
  readonly logger: Logger;
}

/** A file of a removable disk or a share: it may be damaged, shorter than it should be, not answer, or go away. */
export class FolderFile {
  readonly #file: FileHandle;
  readonly #options: FolderFileOptions;
  #unread = 0;

  private constructor(file: FileHandle, options: FolderFileOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** Does nothing where the file cannot be opened: it was there when the pair was found. */
  static async use(
    path: string,
    options: FolderFileOptions,
    use: (file: FolderFile) => Promise<void>,
  ): Promise<void> {
    const { clock, logger } = options;
    let file: FileHandle | undefined;
    try {
      file = await within(clock, ANSWER_MS, open(path, "r"));
    } catch (err) {
      logger.warn({ reason: describeError(err) }, "nothing taken from a folder");
      return;
    }
    if (file === undefined) {
      logger.warn({}, "nothing taken from a folder: it does not answer");
      return;
    }
    try {
      await use(new FolderFile(file, options));
    } finally {
      await within(clock, ANSWER_MS, file.close());
    }
  }

  /** Nothing more is to be had. */
  get isGone(): boolean {
    return this.#unread >= MAX_UNREAD;
  }

  /** 0 where nobody answers. */
  async size(): Promise<number> {
    return (await within(this.#options.clock, ANSWER_MS, this.#file.stat()))?.size ?? 0;
  }

  /** @returns bytes of `rowBlocks`; undefined when there are not so many, or they cannot be read */
  async read(length: number, offset: number): Promise<Uint8Array | undefined> {
    const bytes = rowBlocks.take(length);
    const isFilled = await within(this.#options.clock, ANSWER_MS, this.#fill(bytes, offset));
    if (isFilled === true) {
      this.#unread = 0;
      return bytes;
    }
    this.#unread = isFilled === undefined ? MAX_UNREAD : this.#unread + 1;
    if (isFilled === false) rowBlocks.give(bytes); // else it may be written to any time
    return undefined;
  }

  async #fill(bytes: Uint8Array, offset: number): Promise<boolean> {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        const { bytesRead } = await this.#file.read(bytes, done, bytes.byteLength - done, offset + done);
        if (bytesRead === 0) return false;
        done += bytesRead;
      }
      return true;
    } catch (err) {
      this.#options.logger.debug({ reason: describeError(err), offset }, "folder not read");
      return false;
    }
  }
}
