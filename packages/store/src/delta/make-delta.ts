import { type KeyObject, randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { AppError, toHex } from "@ckmesh/core";
import {
  buildDeltaIndex,
  deltaIndexFileName,
  deltaPackFileName,
  encodePackHeader,
  framesMissingFrom,
  HASH_BYTES,
  type IndexFile,
} from "@ckmesh/image";
import { TemporaryFile } from "../files/temporary-file.js";
import { ImageWorkers } from "../image-workers.js";
import { openIndex } from "../pack/open-index.js";
import { openPack, type PackFile } from "../pack/pack-file.js";
import { refuseExistingPair } from "../pairs/refuse-existing.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";
import { DELTA_LEVEL } from "./delta-tasks.js";
import type { MadeFrames } from "./delta-writer.js";
import { packDeltaFrames } from "./pack-delta-frames.js";

/** Nobody makes delta frames again. */
const NO_FINGERPRINT = new Uint8Array(HASH_BYTES);
const EXISTS_ADVICE = "remove the old pair if it is to be made again";

export interface DeltaOptions extends WorkOptions {
  /** Index of the older version, its pack beside it. */
  readonly basePath: string;
  /** Index of the newer version, its pack beside it. */
  readonly targetPath: string;
  /** An existing folder, in which the pair gets its names; default: that of the newer version. */
  readonly outDir?: string;
  /** Ed25519 private keys. */
  readonly signers?: readonly KeyObject[];
  /** Unix seconds; default: now. */
  readonly createdAt?: number;
  /** 32 bytes; default: random. Given, the output depends on base and target alone. */
  readonly secret?: Uint8Array;
}

export interface DeltaResult {
  readonly name: string;
  readonly version: number;
  readonly baseVersion: number;
  /** Id of the delta, hexadecimal. */
  readonly id: string;
  readonly packPath: string;
  readonly indexPath: string;
  readonly packBytes: number;
  readonly indexBytes: number;
  readonly frames: number;
  /** Frames of the target that the base does not have: their number, and bytes raw and as packed there. */
  readonly newFrames: number;
  readonly newRawBytes: number;
  readonly newBytes: number;
  /** Those of them that are not worth being in the delta: bytes as packed in the target. */
  readonly plainBytes: number;
}

/**
 * Makes the delta that leads from one version to a later one, beside the later one. Both files get their
 * names when both are complete and on the disk, the pack first; whatever interrupts leaves neither.
 * @throws {AppError} ERR_USAGE, ERR_IMAGE_EXISTS, ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FORMAT_UNSUPPORTED,
 *   ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_STORE_FULL, ERR_ABORTED
 */
export async function makeDelta(options: DeltaOptions): Promise<DeltaResult> {
  const base = await openIndex(options.basePath);
  const target = await openIndex(options.targetPath);
  checkPair(base, target);
  const { name, version } = target.head;
  const folder = options.outDir ?? dirname(options.targetPath);
  const packPath = join(folder, deltaPackFileName(name, version, base.head.version));
  const indexPath = join(folder, deltaIndexFileName(name, version, base.head.version));
  await refuseExistingPair(packPath, indexPath, EXISTS_ADVICE);
  // They take longer to start than all that comes before their first task.
  const workers = new ImageWorkers(undefined, options.threads);
  workers.start(workers.threads);
  try {
    const basePack = await openPack(packOf(options.basePath), base);
    try {
      const targetPack = await openPack(packOf(options.targetPath), target);
      try {
        const pack = await TemporaryFile.create(packPath);
        try {
          const index = await TemporaryFile.create(indexPath);
          try {
            return await makePair(options, { base, target, workers, basePack, targetPack, pack, index });
          } finally {
            await index.discard();
          }
        } finally {
          await pack.discard();
        }
      } finally {
        await targetPack.close();
      }
    } finally {
      await basePack.close();
    }
  } finally {
    await workers.close();
  }
}

function checkPair(base: IndexFile, target: IndexFile): void {
  const [from, to] = [base.head, target.head];
  if (from.name !== to.name) {
    throw new AppError(
      "ERR_USAGE",
      `a delta leads between versions of one image, not ${from.name} and ${to.name}`,
    );
  }
  if (from.version >= to.version) {
    throw new AppError(
      "ERR_USAGE",
      `a delta leads from an older version to a newer one, not from ${from.version} to ${to.version}`,
    );
  }
  if (from.disk === undefined || to.disk === undefined) {
    throw new AppError("ERR_USAGE", "an opaque pack has no sectors that a delta could be made of");
  }
}

interface Parts {
  readonly base: IndexFile;
  readonly target: IndexFile;
  readonly workers: ImageWorkers;
  readonly basePack: PackFile;
  readonly targetPack: PackFile;
  readonly pack: TemporaryFile;
  readonly index: TemporaryFile;
}

async function makePair(options: DeltaOptions, parts: Parts): Promise<DeltaResult> {
  const { base, target, workers, basePack, targetPack, pack, index } = parts;
  const missing = framesMissingFrom(basePack.frames, targetPack.frames);
  let made: MadeFrames;
  try {
    made = await packDeltaFrames(options, parts, missing);
  } finally {
    // Before the files that they read are closed.
    await workers.close();
  }
  const [from, to] = [base.head, target.head];
  const built = buildDeltaIndex(
    {
      name: to.name,
      version: to.version,
      base: { version: from.version, id: base.signed.id },
      target: { version: to.version, id: target.signed.id },
      createdAt: options.createdAt ?? Math.floor(Date.now() / 1000),
      requires: [],
      codecs: [{ name: "zstd", level: DELTA_LEVEL, fingerprint: NO_FINGERPRINT, firstFrame: 0 }],
      pack: { length: made.length, sha256: made.sha256 },
      counts: { frames: made.count, sectors: made.sectors, kept: 0 },
      secret: options.secret ?? randomBytes(32),
    },
    { frames: made.records, refs: made.refs },
    options.signers ?? [],
  );
  await pack.write(encodePackHeader(made.length, built.id), 0);
  let at = 0;
  for (const part of built.parts) {
    await index.write(part, at);
    at += part.length;
  }
  throwIfStopped(options.signal);
  await Promise.all([pack.sync(), index.sync()]);
  await pack.commit();
  await index.commit();
  let [newBytes, newRawBytes] = [0, 0];
  for (const frame of missing) {
    newBytes += targetPack.frames.packedLength(frame);
    newRawBytes += targetPack.frames.rawLength(frame);
  }
  return {
    name: to.name,
    version: to.version,
    baseVersion: from.version,
    id: toHex(built.id),
    packPath: pack.path,
    indexPath: index.path,
    packBytes: made.length,
    indexBytes: built.length,
    frames: made.count,
    newFrames: missing.length,
    newRawBytes,
    newBytes,
    plainBytes: newBytes - made.coveredBytes,
  };
}

function packOf(indexPath: string): string {
  return indexPath.slice(0, -".index".length);
}
