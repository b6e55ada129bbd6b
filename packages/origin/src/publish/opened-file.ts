import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { AppError } from "@ckmesh/core";
import type { ByteSource } from "@ckmesh/image";

/** A file read synchronously, as its size was when it was opened: for worker threads. */
export class OpenedFile implements ByteSource {
  readonly length: number;
  readonly #fd: number;
  readonly #path: string;

  private constructor(fd: number, path: string) {
    this.#fd = fd;
    this.#path = path;
    this.length = fstatSync(fd).size;
  }

  static open(path: string): OpenedFile {
    return new OpenedFile(openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)), path);
  }

  // oxlint-disable-next-line typescript/require-await -- the interface is for sources that wait
  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(length);
    this.readInto(bytes, offset);
    return bytes;
  }

  /** @throws {AppError} ERR_PACK_INVALID when the file ends before that */
  readInto(bytes: Uint8Array, offset: number): void {
    for (let done = 0; done < bytes.byteLength; ) {
      const count = readSync(this.#fd, bytes, done, bytes.byteLength - done, offset + done);
      if (count === 0)
        throw new AppError("ERR_PACK_INVALID", `${this.#path} became shorter while it was read`);
      done += count;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
