import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  checkDeltaEnds,
  checkDeltaFits,
  DeltaFile,
  DeltaRefs,
  type FrameTable,
  type IndexHead,
  indexFileName,
  MAX_LEVEL,
} from "@ckmesh/image";
import { shareCopy, sharedBytes } from "../buffer-pool.js";
import { checkPackFrames, checkPackHash } from "../check-pack.js";
import { codecFingerprint } from "../codec.js";
import { fileSource } from "../file-io.js";
import { ImageWorkers } from "../image-workers.js";
import { openIndex } from "../open-index.js";
import { runOrdered } from "../ordered-tasks.js";
import { openPack, type PackFile } from "../pack-file.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";
import { DELTA_FRAMES_PER_TASK, type UsableCodec } from "./delta-tasks.js";

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
    const refs = shareCopy(await delta.section("refs"));
    const parsed = new DeltaRefs(refs, delta.head.counts.frames);
    const { name, base, target } = delta.head;
    const basePath = join(dirname(indexPath), indexFileName(name, base.version));
    const targetPath = join(dirname(indexPath), indexFileName(name, target.version));
    const isApplied = (await areThere(basePath, targetPath)) && (await areThere(packOf(basePath)));
    const packedAgain = isApplied
      ? await applyAll(delta, pack, { refs, parsed, basePath, targetPath }, options)
      : await checkOnly(pack, options);
    await checkPackHash(packPath, delta, options);
    return { delta, frames: delta.head.counts.frames, isApplied, packedAgain };
  } finally {
    await pack.close();
  }
}

interface Ends {
  /** Section `refs`, shared, and what it says. */
  readonly refs: Uint8Array;
  readonly parsed: DeltaRefs;
  readonly basePath: string;
  readonly targetPath: string;
}

/** Returns how many frames were packed again. The pack of the target is not needed. */
async function applyAll(
  delta: DeltaFile,
  pack: PackFile,
  { refs, parsed, basePath, targetPath }: Ends,
  options: WorkOptions,
): Promise<number> {
  const base = await openIndex(basePath);
  const target = await openIndex(targetPath);
  checkDeltaEnds(delta.head, base.signed, target.signed);
  const targetFrames = await target.frames();
  const basePack = await openPack(packOf(basePath), base);
  try {
    checkDeltaFits({ refs: parsed, frames: pack.frames, baseFrames: basePack.frames, targetFrames });
    const workers = new ImageWorkers(
      {
        level: 1,
        pack: pack.setup,
        base: { ...basePack.setup, checked: sharedBytes(basePack.frames.count) },
        apply: {
          refs,
          targetFrames: shareCopy(await target.section("frames")),
          targetHead: target.head,
          codecs: usableCodecs(target.head),
        },
      },
      options.threads,
    );
    try {
      return await runApply(workers, pack.frames, options);
    } finally {
      await workers.close();
    }
  } finally {
    await basePack.close();
  }
}

async function runApply(workers: ImageWorkers, frames: FrameTable, options: WorkOptions): Promise<number> {
  let packedAgain = 0;
  await runOrdered(
    Math.ceil(frames.count / DELTA_FRAMES_PER_TASK),
    workers.threads * 2,
    async (i) => {
      throwIfStopped(options.signal);
      const first = i * DELTA_FRAMES_PER_TASK;
      const count = Math.min(DELTA_FRAMES_PER_TASK, frames.count - first);
      return await workers.run("apply", { first, count, decode: true });
    },
    (count, i) => {
      packedAgain += count;
      const bytesDone = frames.offset(Math.min((i + 1) * DELTA_FRAMES_PER_TASK, frames.count));
      options.onProgress?.({ phase: "apply", bytesDone, bytesTotal: frames.offset(frames.count) });
    },
  );
  return packedAgain;
}

/** Without its versions a delta cannot be decoded: the hashes of its packed frames. */
async function checkOnly(pack: PackFile, options: WorkOptions): Promise<number> {
  const checked = sharedBytes(pack.frames.count);
  const workers = new ImageWorkers({ level: 1, pack: pack.setup }, options.threads);
  try {
    await checkPackFrames(workers, pack.frames, checked, false, options);
    return 0;
  } finally {
    await workers.close();
  }
}

/** The codecs of a version, with the level where this machine makes the same frames. */
function usableCodecs({ codecs }: Pick<IndexHead, "codecs">): readonly UsableCodec[] {
  return codecs.map(({ name, level, fingerprint, firstFrame }) => {
    const isKnown = name === "zstd" && level >= 1 && level <= MAX_LEVEL;
    return isKnown && Buffer.compare(codecFingerprint(level), fingerprint) === 0
      ? { firstFrame, level }
      : { firstFrame };
  });
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
