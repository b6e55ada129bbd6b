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
  #isSilent = false;

  private constructor(file: FileHandle, options: FolderFileOptions) {
    this.#file = file;
    this.#options = options;
  }

  /**
   * Does nothing where the file cannot be opened: it was there when the pair was found.
   * @returns false when the folder no longer answers: its other files need not be tried
   */
  static async use(
    path: string,
    options: FolderFileOptions,
    use: (file: FolderFile) => Promise<void>,
  ): Promise<boolean> {
    const { clock, logger } = options;
    const opening = open(path, "r");
    let handle: FileHandle | undefined;
    try {
      handle = await within(clock, ANSWER_MS, opening);
    } catch (err) {
      logger.warn({ reason: describeError(err) }, "nothing taken from a folder");
      return true;
    }
    if (handle === undefined) {
      logger.warn({}, "nothing taken from a folder: it does not answer");
      closeLate(opening, logger);
      return false;
    }
    const file = new FolderFile(handle, options);
    try {
      await use(file);
    } finally {
      // Where nobody answers, closing is no faster.
      if (file.#isSilent) closeLate(Promise.resolve(handle), logger);
      else await within(clock, ANSWER_MS, handle.close());
    }
    return !file.#isSilent;
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
    this.#isSilent = isFilled === undefined;
    this.#unread = this.#isSilent ? MAX_UNREAD : this.#unread + 1;
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

/** Gives a handle back whenever the folder answers, if ever. */
function closeLate(opening: Promise<FileHandle>, logger: Logger): void {
  opening
    .then((handle) => handle.close())
    .catch((err: unknown) => logger.debug({ reason: describeError(err) }, "folder not closed"));
}
