import { readSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { AppError } from "@ckmesh/core";
import type { ByteSource } from "@ckmesh/image";
import { fileError } from "./file-error.js";

/** Fills `target` from a position; false when the file ends before. Blocks: for worker threads. */
export function readFully(fd: number, target: Uint8Array, position: number): boolean {
  for (let done = 0; done < target.length; ) {
    const read = readSync(fd, target, done, target.length - done, position + done);
    if (read === 0) return false;
    done += read;
  }
  return true;
}

/** Writes all of `bytes` at a position. Blocks: for worker threads. */
export function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}

/** Blocks are compared and written as file systems keep them. */
const BLOCK_BYTES = 4096;
const COMPARE_BYTES = 1 << 20;

/** Writes those blocks of `bytes` that differ from what the file holds there. Blocks: for worker threads. */
export function writeChanged(fd: number, bytes: Uint8Array, position: number): void {
  const held = Buffer.allocUnsafe(Math.min(COMPARE_BYTES, bytes.length));
  for (let start = 0; start < bytes.length; start += held.length) {
    const wanted = bytes.subarray(start, start + held.length);
    const isThere = readFully(fd, held.subarray(0, wanted.length), position + start);
    let from = -1;
    for (let at = 0; at < wanted.length; at += BLOCK_BYTES) {
      const end = Math.min(at + BLOCK_BYTES, wanted.length);
      const isSame = isThere && Buffer.compare(wanted.subarray(at, end), held.subarray(at, end)) === 0;
      if (!isSame && from < 0) from = at;
      if (isSame && from >= 0) {
        writeFully(fd, wanted.subarray(from, at), position + start + from);
        from = -1;
      }
    }
    if (from >= 0) writeFully(fd, wanted.subarray(from), position + start + from);
  }
}

/** A regular file as a source of bytes; opened for each read, so that there is nothing to close. */
export async function fileSource(path: string): Promise<ByteSource> {
  const read = async (offset: number, length: number): Promise<Uint8Array> =>
    await withFile(path, async (file) => {
      const bytes = Buffer.allocUnsafeSlow(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0)
          throw new AppError("ERR_INDEX_INVALID", `${path} became shorter while it was read`);
        done += bytesRead;
      }
      return bytes;
    });
  const length = await withFile(path, async (file) => {
    const stats = await file.stat();
    if (!stats.isFile()) throw new AppError("ERR_FILE_NOT_FOUND", `${path} is no regular file`);
    return stats.size;
  });
  return { length, read };
}

async function withFile<T>(
  path: string,
  use: (file: Awaited<ReturnType<typeof open>>) => Promise<T>,
): Promise<T> {
  try {
    const file = await open(path, "r");
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  } catch (err) {
    throw fileError(err, path);
  }
}
