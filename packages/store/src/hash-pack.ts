import { createHash } from "node:crypto";
import { AppError, equalBytes, MIB } from "@ckmesh/core";
import type { RandomAccessFile } from "./random-access-file.js";

const READ_BYTES = MIB;

/**
 * Whether the bytes of a pack after its header are those that the head names. Two buffers: one is read while
 * the other is hashed.
 * @throws {AppError} ERR_ABORTED
 */
export async function hashPack(
  file: RandomAccessFile,
  pack: { readonly length: number; readonly sha256: Uint8Array },
  headerLength: number,
  options: { readonly signal?: AbortSignal; readonly onProgress?: (bytesDone: number) => void } = {},
): Promise<boolean> {
  const hash = createHash("sha256");
  const buffers = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)] as const;
  const fill = async (turn: number, offset: number): Promise<Uint8Array> => {
    const bytes = (turn % 2 === 0 ? buffers[0] : buffers[1]).subarray(
      0,
      Math.min(READ_BYTES, pack.length - offset),
    );
    await file.readInto(bytes, offset);
    return bytes;
  };
  let next = fill(0, headerLength);
  for (let offset = headerLength, turn = 0; offset < pack.length; turn++) {
    if (options.signal?.aborted === true) {
      await next.catch(() => {}); // its failure no longer matters
      throw new AppError("ERR_ABORTED", "the check of the pack was stopped");
    }
    const bytes = await next;
    offset += bytes.byteLength;
    next = offset < pack.length ? fill(turn + 1, offset) : Promise.resolve(bytes);
    hash.update(bytes);
    options.onProgress?.(offset);
  }
  await next;
  return equalBytes(hash.digest(), pack.sha256);
}
