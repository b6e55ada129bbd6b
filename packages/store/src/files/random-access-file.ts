import { type FileHandle, open } from "node:fs/promises";
import { AppError } from "@ckmesh/core";
import { fileErrorCode, storeError } from "./store-error.js";

/** A file read and written at positions; every read and write is whole or throws. */
export class RandomAccessFile {
  readonly path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /** Opens for reading and writing; makes the file (mode 0600) when `create` is set and it is absent. */
  static async open(path: string, mode: "read" | "write" | "create"): Promise<RandomAccessFile> {
    try {
      if (mode !== "create")
        return new RandomAccessFile(path, await open(path, mode === "read" ? "r" : "r+"));
      try {
        return new RandomAccessFile(path, await open(path, "r+"));
      } catch (err) {
        if (fileErrorCode(err) !== "ENOENT") throw err;
        return new RandomAccessFile(path, await open(path, "wx+", 0o600));
      }
    } catch (err) {
      throw storeError(err, path);
    }
  }

  /** @throws {AppError} ERR_STORE_CORRUPT when the file ends before */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const buffer = Buffer.allocUnsafeSlow(length);
    await this.readInto(buffer, offset);
    return buffer;
  }

  async readInto(buffer: Uint8Array, offset: number): Promise<void> {
    for (let done = 0; done < buffer.byteLength; ) {
      const { bytesRead } = await this.#guard(() =>
        this.#handle.read(buffer, done, buffer.byteLength - done, offset + done),
      );
      if (bytesRead === 0) {
        throw new AppError("ERR_STORE_CORRUPT", `${this.path} ends at ${offset + done}, before it should`);
      }
      done += bytesRead;
    }
  }

  /** @throws {AppError} ERR_STORE_FULL */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.byteLength; ) {
      const { bytesWritten } = await this.#guard(() =>
        this.#handle.write(bytes, done, bytes.byteLength - done, offset + done),
      );
      done += bytesWritten;
    }
  }

  async size(): Promise<number> {
    return (await this.#guard(() => this.#handle.stat())).size;
  }

  /** Bytes that the file takes on the disk; less than its size while it has holes. */
  async allocatedBytes(): Promise<number> {
    const { blocks, size } = await this.#guard(() => this.#handle.stat());
    return process.platform === "win32" ? size : blocks * 512;
  }

  async setSize(bytes: number): Promise<void> {
    await this.#guard(() => this.#handle.truncate(bytes));
  }

  async setMode(mode: number): Promise<void> {
    await this.#guard(() => this.#handle.chmod(mode));
  }

  /** Makes the data durable. */
  async sync(): Promise<void> {
    await this.#guard(() => this.#handle.datasync());
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #guard<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (err) {
      throw storeError(err, this.path);
    }
  }
}
