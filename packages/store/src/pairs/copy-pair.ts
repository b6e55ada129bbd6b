import { createHash } from "node:crypto";
import { stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError, equalBytes, formatBytes, isAppError, MIB } from "@ckmesh/core";
import { IndexFile, type IndexHead, isOpaquePack, PACK_HEADER_BYTES } from "@ckmesh/image";
import { fileError } from "../files/file-error.js";
import { fileSource } from "../files/file-io.js";
import { RandomAccessFile } from "../files/random-access-file.js";
import { fileErrorCode } from "../files/store-error.js";
import { TemporaryFile } from "../files/temporary-file.js";
import { openPack } from "../pack/pack-file.js";
import { PackHash } from "../pack/pack-hash.js";
import { type Progress, throwIfStopped } from "../progress.js";
import { refuseExisting, refuseExistingPair } from "./refuse-existing.js";

/** Bytes of the pack that are read, hashed and written at once. */
const STEP_BYTES = 4 * MIB;
/** As written files are brought to the disk while the rest is copied, a slow stick does not wait at the end. */
const FLUSH_BYTES = 64 * MIB;
const EXISTS_ADVICE = "remove it or choose another folder";
/** The index holds the secret of the version's swarm: for its owner only, as in the store. */
const MODE = 0o600;

/** A pack and its index. */
export interface PairPaths {
  readonly pack: string;
  readonly index: string;
}

export interface CopyPairOptions {
  readonly from: PairPaths;
  /** In a folder that exists. */
  readonly to: PairPaths;
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
}

export interface CopiedPair {
  readonly packBytes: number;
  readonly indexBytes: number;
}

/**
 * Copies a pack and its index, and proves what it copies in the same pass: sections by their hashes, the pack by
 * the one in the head. Both files get their names when they are whole and durable, the pack first; one that is there
 * alone, as a kill in between leaves it, is replaced.
 * @throws {AppError} ERR_IMAGE_EXISTS, ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FILE_NOT_FOUND, ERR_FILE_DENIED,
 *   ERR_STORE_FULL, ERR_ABORTED
 */
export async function copyPair(options: CopyPairOptions): Promise<CopiedPair> {
  const { from, to } = options;
  const source = await fileSource(from.index);
  const index = await IndexFile.open(source);
  await (await openPack(from.pack, index)).close(); // length and header fit
  await refuseOthers(to, index);
  await requireRoom(dirname(to.pack), source.length + index.head.pack.length);
  const made: TemporaryFile[] = [];
  try {
    for (const path of [to.pack, to.index]) made.push(await TemporaryFile.create(path, MODE));
    const [packFile, indexFile] = made;
    if (packFile === undefined || indexFile === undefined)
      throw new Error("unreachable: two files were made");
    const [first] = index.head.sections;
    await indexFile.write(await source.read(0, first?.offset ?? source.length), 0);
    for (const { kind, offset } of index.head.sections) {
      await indexFile.write(await index.section(kind), offset);
    }
    await copyPack(index, packFile, options);
    await indexFile.sync();
    await packFile.sync();
    await refuseOthers(to, index);
    await packFile.commit(MODE);
    await indexFile.commit(MODE);
  } catch (err) {
    throw tooLarge(err, to.pack) ?? err;
  } finally {
    for (const file of made) await file.discard();
  }
  return { packBytes: index.head.pack.length, indexBytes: source.length };
}

/** While one step is written the next one is read. */
async function copyPack(
  { head }: IndexFile,
  out: TemporaryFile,
  { from, onProgress, signal }: CopyPairOptions,
): Promise<void> {
  const { length } = head.pack;
  const hash = createHash("sha256");
  const file = await RandomAccessFile.open(from.pack, "read");
  const buffers = [Buffer.allocUnsafeSlow(STEP_BYTES), Buffer.allocUnsafeSlow(STEP_BYTES)] as const;
  const read = async (at: number, turn: number): Promise<Buffer> => {
    const bytes = buffers[turn % 2 === 0 ? 0 : 1].subarray(0, Math.min(STEP_BYTES, length - at));
    await file.readInto(bytes, at);
    return bytes;
  };
  try {
    let bytes = await read(0, 0);
    for (let [at, turn] = [0, 1]; at < length; turn += 1) {
      throwIfStopped(signal);
      const end = at + bytes.byteLength;
      hash.update(at === 0 && !isOpaquePack(head) ? bytes.subarray(PACK_HEADER_BYTES) : bytes);
      const [next] = await Promise.all([end < length ? read(end, turn) : undefined, out.write(bytes, at)]);
      if (Math.floor(end / FLUSH_BYTES) > Math.floor(at / FLUSH_BYTES)) out.flushSoon();
      onProgress?.({ phase: "copy", bytesDone: end, bytesTotal: length });
      at = end;
      bytes = next ?? bytes;
    }
  } finally {
    await file.close();
  }
  if (equalBytes(hash.digest(), head.pack.sha256)) return;
  throw new AppError("ERR_PACK_INVALID", `${from.pack} does not match the hash in its index`);
}

/** Foreign packs cannot be told from other files: what is replaced has every byte already. */
async function refuseOthers(to: PairPaths, { head }: IndexFile): Promise<void> {
  if (isOpaquePack(head) && (await isPackOf(to.pack, head))) await refuseExisting(to.index, EXISTS_ADVICE);
  else await refuseExistingPair(to.pack, to.index, EXISTS_ADVICE);
}

async function isPackOf(path: string, { pack }: IndexHead): Promise<boolean> {
  const stats = await stat(path).catch(() => undefined); // not there, or nothing that may be replaced
  if (stats?.size !== pack.length) return false;
  const file = await RandomAccessFile.open(path, "read");
  try {
    return await new PackHash(() => file, 0).isRight(pack, () => undefined);
  } finally {
    await file.close();
  }
}

/** @throws {AppError} ERR_STORE_FULL */
async function requireRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder).catch((err: unknown) => {
    throw fileError(err, folder);
  });
  const free = bavail * bsize;
  if (free >= bytes) return;
  throw new AppError(
    "ERR_STORE_FULL",
    `the copy needs ${formatBytes(bytes)} in ${folder}, but only ${formatBytes(free)} are free`,
    { details: { needed: bytes, free } },
  );
}

/** What removable disks often come with holds no file of 4 GiB. */
function tooLarge(err: unknown, path: string): AppError | undefined {
  if (!isAppError(err, "ERR_STORE_FULL") || fileErrorCode(err.cause) !== "EFBIG") return undefined;
  return new AppError(
    "ERR_STORE_FULL",
    `the file system of ${path} takes no file of this size (FAT32 ends at 4 GiB): use one with exFAT, NTFS or ext4`,
    { cause: err.cause },
  );
}
