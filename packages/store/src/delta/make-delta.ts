import { createHash, type KeyObject, randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { AppError, toHex } from "@ckmesh/core";
import {
  buildDeltaIndex,
  DeltaRefsWriter,
  deltaIndexFileName,
  deltaPackFileName,
  encodePackHeader,
  framesMissingFrom,
  HASH_BYTES,
  type IndexFile,
  PACK_HEADER_BYTES,
  planFingerprints,
} from "@ckmesh/image";
import { TemporaryFile } from "../files/temporary-file.js";
import { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import { openIndex } from "../pack/open-index.js";
import { openPack, type PackFile } from "../pack/pack-file.js";
import { refuseExistingPair } from "../pairs/refuse-existing.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";
import { DELTA_FRAMES_PER_TASK, DELTA_LEVEL, type DeltaFrames } from "./delta-tasks.js";

/** Nobody makes delta frames again. */
const NO_FINGERPRINT = new Uint8Array(HASH_BYTES);
/** Frames of the base that one task fingerprints. */
const BASE_FRAMES_PER_TASK = 64;
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
  const basePack = await openPack(packOf(options.basePath), base);
  try {
    const targetPack = await openPack(packOf(options.targetPath), target);
    try {
      const pack = await TemporaryFile.create(packPath);
      try {
        const index = await TemporaryFile.create(indexPath);
        try {
          return await makePair(options, { base, target, basePack, targetPack, pack, index });
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
  readonly basePack: PackFile;
  readonly targetPack: PackFile;
  readonly pack: TemporaryFile;
  readonly index: TemporaryFile;
}

async function makePair(options: DeltaOptions, parts: Parts): Promise<DeltaResult> {
  const { base, target, basePack, targetPack, pack, index } = parts;
  const missing = framesMissingFrom(basePack.frames, targetPack.frames);
  const made = await packFrames(options, parts, missing);
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
  await pack.sync();
  await index.sync();
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

/** The pack of a delta but for its header, and the sections of its index. */
interface MadeFrames {
  readonly length: number;
  readonly sha256: Uint8Array;
  readonly count: number;
  readonly sectors: number;
  readonly records: Uint8Array;
  readonly refs: Uint8Array;
  /** Bytes of the frames of the target that it yields, as packed there. */
  readonly coveredBytes: number;
}

/** Runs the threads: the whole base first, then the missing frames, which are written in their order. */
async function packFrames(
  options: DeltaOptions,
  { basePack, targetPack, pack }: Parts,
  missing: Uint32Array,
): Promise<MadeFrames> {
  const plan = planFingerprints(basePack.frames.sectors);
  const slots = new Uint32Array(new SharedArrayBuffer(4 * 2 ** plan.slotBits));
  const workers = new ImageWorkers(
    {
      level: DELTA_LEVEL,
      pack: targetPack.setup,
      base: basePack.setup,
      fingerprints: { plan, slots },
    },
    options.threads,
  );
  try {
    if (missing.length > 0) await fingerprint(workers, basePack, options);
    const writer = new DeltaWriter(pack, targetPack);
    let bytesTotal = 0;
    for (const frame of missing) bytesTotal += targetPack.frames.rawLength(frame);
    let bytesDone = 0;
    await runOrdered(
      Math.ceil(missing.length / DELTA_FRAMES_PER_TASK),
      workers.threads * 2,
      async (i) => {
        throwIfStopped(options.signal);
        return await workers.run("delta", {
          frames: missing.slice(i * DELTA_FRAMES_PER_TASK, (i + 1) * DELTA_FRAMES_PER_TASK),
        });
      },
      async (frames, i) => {
        await writer.add(frames);
        for (const frame of missing.subarray(i * DELTA_FRAMES_PER_TASK, (i + 1) * DELTA_FRAMES_PER_TASK))
          bytesDone += targetPack.frames.rawLength(frame);
        options.onProgress?.({ phase: "delta", bytesDone, bytesTotal });
      },
    );
    return writer.finish();
  } finally {
    await workers.close();
  }
}

async function fingerprint(workers: ImageWorkers, { frames }: PackFile, options: WorkOptions): Promise<void> {
  await runOrdered(
    Math.ceil(frames.count / BASE_FRAMES_PER_TASK),
    workers.threads * 2,
    async (i) => {
      throwIfStopped(options.signal);
      const first = i * BASE_FRAMES_PER_TASK;
      const count = Math.min(BASE_FRAMES_PER_TASK, frames.count - first);
      return await workers.run("fingerprint", { first, count, decode: true });
    },
    (_, i) => {
      const bytesDone = frames.offset(Math.min((i + 1) * BASE_FRAMES_PER_TASK, frames.count));
      options.onProgress?.({ phase: "references", bytesDone, bytesTotal: frames.offset(frames.count) });
    },
  );
}

/** Appends what the threads made to the pack, and keeps the rest for the index. */
class DeltaWriter {
  readonly #pack: TemporaryFile;
  readonly #target: PackFile;
  readonly #hash = createHash("sha256");
  readonly #records: Uint8Array[] = [];
  readonly #refs = new DeltaRefsWriter();
  #position = PACK_HEADER_BYTES;
  #count = 0;
  #sectors = 0;
  #coveredBytes = 0;

  constructor(pack: TemporaryFile, target: PackFile) {
    this.#pack = pack;
    this.#target = target;
  }

  async add({ packed, records, refs }: DeltaFrames): Promise<void> {
    for (let at = 0; at < refs.length; ) {
      const [frame = 0, count = 0] = refs.subarray(at, at + 2);
      at += 2;
      const runs = Array.from({ length: count }, (_, i) => ({
        first: refs[at + i * 2] ?? 0,
        count: refs[at + i * 2 + 1] ?? 0,
      }));
      at += count * 2;
      this.#refs.add(frame, runs);
      this.#count += 1;
      this.#sectors += this.#target.frames.sectorCount(frame);
      this.#coveredBytes += this.#target.frames.packedLength(frame);
    }
    this.#hash.update(packed);
    this.#records.push(records);
    await this.#pack.write(packed, this.#position);
    this.#position += packed.length;
  }

  finish(): MadeFrames {
    return {
      length: this.#position,
      sha256: this.#hash.digest(),
      count: this.#count,
      sectors: this.#sectors,
      records: Buffer.concat(this.#records),
      refs: this.#refs.finish(),
      coveredBytes: this.#coveredBytes,
    };
  }
}

function packOf(indexPath: string): string {
  return indexPath.slice(0, -".index".length);
}
