import { AppError } from "@ckmesh/core";
import { type FrameTable, isOpaquePack, PACK_HEADER_BYTES, type PackFacts } from "@ckmesh/image";
import { RandomAccessFile } from "../files/random-access-file.js";
import type { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";
import { PackHash } from "./pack-hash.js";

const FRAMES_PER_TASK = 64;

/**
 * Checks the frames that are not marked in `checked` yet: rebuilding the disk need not have read all.
 * @throws {AppError} ERR_PACK_INVALID, ERR_ABORTED
 */
export async function checkPackFrames(
  workers: ImageWorkers,
  frames: FrameTable,
  checked: Uint8Array,
  decode: boolean,
  options: WorkOptions,
): Promise<void> {
  const tasks: number[] = [];
  for (let first = 0; first < frames.count; first += FRAMES_PER_TASK) {
    if (checked.subarray(first, first + FRAMES_PER_TASK).includes(0)) tasks.push(first);
  }
  await runOrdered(
    tasks.length,
    workers.threads * 2,
    async (i) => {
      throwIfStopped(options.signal);
      const first = tasks[i] ?? 0;
      return await workers.run("check", {
        first,
        count: Math.min(FRAMES_PER_TASK, frames.count - first),
        decode,
      });
    },
    (_, i) => {
      const bytesDone = frames.offset(Math.min((tasks[i] ?? 0) + FRAMES_PER_TASK, frames.count));
      options.onProgress?.({ phase: "check", bytesDone, bytesTotal: frames.offset(frames.count) });
    },
  );
}

/**
 * Checks the hash over all of a pack.
 * @throws {AppError} ERR_PACK_INVALID, ERR_ABORTED
 */
export async function checkPackHash(
  path: string,
  { head }: { readonly head: PackFacts },
  options: WorkOptions,
): Promise<void> {
  const file = await RandomAccessFile.open(path, "read");
  try {
    const headerLength = isOpaquePack(head) ? 0 : PACK_HEADER_BYTES;
    const stopped = (): AppError | undefined =>
      options.signal?.aborted === true
        ? new AppError("ERR_ABORTED", "the check of the pack was stopped")
        : undefined;
    const isRight = await new PackHash(() => file, headerLength).isRight(head.pack, stopped);
    if (!isRight) throw new AppError("ERR_PACK_INVALID", `${path} does not match the hash in its index`);
  } finally {
    await file.close();
  }
}
