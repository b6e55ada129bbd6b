import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError } from "@ckmesh/core";
import { checkDeltaEnds, DeltaFile, DeltaRefs, type FrameTable, indexFileName } from "@ckmesh/image";
import { sharedBytes } from "../files/buffer-pool.js";
import { fileSource } from "../files/file-io.js";
import { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import { checkPackFrames, checkPackHash } from "../pack/check-pack.js";
import { openIndex } from "../pack/open-index.js";
import { openPack, type PackFile } from "../pack/pack-file.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";
import { DELTA_FRAMES_PER_TASK } from "./delta-tasks.js";
import { DeltaThreads } from "./delta-threads.js";

export interface DeltaVerifyResult {
  readonly delta: DeltaFile;
  readonly frames: number;
  /** False: base and target do not lie beside the delta, so only its own hashes were checked. */
  readonly isApplied: boolean;
  /** Frames that came out byte for byte as in the pack of the target; the raw bytes of all others are proven. */
  readonly packedAgain: number;
}

/**
 * Checks a delta byte by byte, and applies it where both versions lie beside it: every frame is proven.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_FILE_NOT_FOUND,
 *   ERR_FILE_DENIED, ERR_ABORTED
 */
export async function verifyDelta(indexPath: string, options: WorkOptions = {}): Promise<DeltaVerifyResult> {
  const delta = await DeltaFile.open(await fileSource(indexPath));
  const packPath = packOf(indexPath);
  const pack = await openPack(packPath, delta);
  try {
    const refs = await delta.section("refs");
    const { name, base, target } = delta.head;
    const basePath = join(dirname(indexPath), indexFileName(name, base.version));
    const targetPath = join(dirname(indexPath), indexFileName(name, target.version));
    const isApplied = (await areThere(basePath, targetPath)) && (await areThere(packOf(basePath)));
    const packedAgain = isApplied
      ? await applyAll(delta, pack, { refs, basePath, targetPath }, options)
      : await checkOnly(pack, refs, options);
    await checkPackHash(packPath, delta, options);
    return { delta, frames: delta.head.counts.frames, isApplied, packedAgain };
  } finally {
    await pack.close();
  }
}

interface Ends {
  /** Section `refs` of the delta. */
  readonly refs: Uint8Array;
  readonly basePath: string;
  readonly targetPath: string;
}

/** Returns how many frames were packed again. The pack of the target is not needed. */
async function applyAll(
  delta: DeltaFile,
  pack: PackFile,
  { refs, basePath, targetPath }: Ends,
  options: WorkOptions,
): Promise<number> {
  const base = await openIndex(basePath);
  const target = await openIndex(targetPath);
  checkDeltaEnds(delta.head, base.signed, target.signed);
  const frames = await target.frames();
  const basePack = await openPack(packOf(basePath), base);
  try {
    const threads = new DeltaThreads(
      {
        delta: { signed: delta.signed, frames: pack.frames, setup: pack.setup },
        base: { signed: base.signed, frames: basePack.frames, setup: basePack.setup },
        refs,
        target: { signed: target.signed, frames },
        isBackground: options.background !== undefined,
      },
      options.threads,
    );
    try {
      return await runApply(threads, pack.frames, options);
    } finally {
      await threads.close();
    }
  } finally {
    await basePack.close();
  }
}

async function runApply(threads: DeltaThreads, table: FrameTable, options: WorkOptions): Promise<number> {
  let packedAgain = 0;
  await runOrdered(
    Math.ceil(table.count / DELTA_FRAMES_PER_TASK),
    threads.count * 2,
    async (i) => {
      throwIfStopped(options.signal);
      const first = i * DELTA_FRAMES_PER_TASK;
      const length = Math.min(DELTA_FRAMES_PER_TASK, table.count - first);
      const frames = Uint32Array.from({ length }, (_, at) => first + at);
      return await threads.apply({ frames }, i % threads.count);
    },
    ({ lengths, failures: [failure] }, i) => {
      if (failure !== undefined) {
        throw new AppError("ERR_PACK_INVALID", failure.message, { details: { frame: failure.frame } });
      }
      for (const length of lengths) if (length > 0) packedAgain += 1;
      const bytesDone = table.offset(Math.min((i + 1) * DELTA_FRAMES_PER_TASK, table.count));
      options.onProgress?.({ phase: "apply", bytesDone, bytesTotal: table.offset(table.count) });
    },
  );
  return packedAgain;
}

/** Without its versions a delta cannot be decoded: the hashes of its packed frames. */
async function checkOnly(pack: PackFile, refs: Uint8Array, options: WorkOptions): Promise<number> {
  void new DeltaRefs(refs, pack.frames.count); // throws when they are damaged
  const checked = sharedBytes(pack.frames.count);
  const workers = new ImageWorkers({ level: 1, pack: pack.setup }, options.threads);
  try {
    await checkPackFrames(workers, pack.frames, checked, false, options);
    return 0;
  } finally {
    await workers.close();
  }
}

async function areThere(...paths: readonly string[]): Promise<boolean> {
  try {
    await Promise.all(paths.map(async (path) => await access(path)));
    return true;
  } catch {
    return false; // not here, or not for us: then the delta is checked alone, and the result says so
  }
}

function packOf(indexPath: string): string {
  return indexPath.slice(0, -".index".length);
}
