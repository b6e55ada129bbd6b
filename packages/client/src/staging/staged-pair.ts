import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError, isAppError } from "@ckmesh/core";
import {
  decodeHead,
  HEAD_BYTES,
  hasIndexMagic,
  indexFileName,
  packFileName,
  parseServedName,
  type SignedHead,
} from "@ckmesh/image";
import { fileError, fileErrorCode } from "@ckmesh/store";

/** A pack and its index in a folder that is no store. Nothing in them is believed before its hash was checked. */
export interface StagedPair {
  readonly signed: SignedHead;
  /** The first 4096 bytes of the index. */
  readonly headBlock: Uint8Array;
  /** The index has a name of its own, beside a foreign `.ckm.index`. */
  readonly isFramesIndex: boolean;
  readonly packPath: string;
  readonly indexPath: string;
  /** When one of the two was last written to: ms of the wall clock, as the file system says. */
  readonly changedAt: number;
}

/** An index found in a folder: with its pack, or why it is no use. */
export type StagedFile =
  | { readonly image: string; readonly version: number; readonly pair: StagedPair }
  | {
      readonly image: string;
      readonly version: number;
      readonly problem: AppError;
      readonly file: string;
    };

/**
 * All pairs of versions in a folder, or those of one image: by name, each image's newest first. A pack without an
 * index is none, and neither is an index without a pack.
 * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_FILE_DENIED of the folder
 */
export async function listStaged(folder: string, only?: string): Promise<readonly StagedFile[]> {
  const names = await inFolder(folder, () => readdir(folder));
  const found: StagedFile[] = [];
  for (const file of names) {
    const served = parseServedName(file);
    if (served?.kind !== "index" || served.version === undefined || served.from !== undefined) continue;
    const { name: image, version } = served;
    if (only !== undefined && image !== only) continue;
    try {
      const pair = await readStagedPair(folder, image, version);
      if (pair !== undefined) found.push({ image, version, pair });
    } catch (err) {
      if (!isAppError(err)) throw err;
      found.push({ image, version, problem: err, file: join(folder, file) });
    }
  }
  return found.toSorted((a, b) => (a.image === b.image ? b.version - a.version : a.image < b.image ? -1 : 1));
}

/**
 * The pair of a version in a folder; undefined where not both of its files are there.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED, ERR_FILE_DENIED, ERR_STORE_CORRUPT
 */
export async function readStagedPair(
  folder: string,
  image: string,
  version: number,
): Promise<StagedPair | undefined> {
  const packPath = join(folder, packFileName(image, version));
  const indexPath = join(folder, indexFileName(image, version));
  const changes = [await changedAt(packPath), await changedAt(indexPath)].filter((at) => at !== undefined);
  if (changes.length < 2) return undefined;
  const own = await readHead(indexPath);
  const framesIndex = `${packPath}.frames.index`;
  const isFramesIndex = !hasIndexMagic(own) && (await changedAt(framesIndex)) !== undefined;
  const path = isFramesIndex ? framesIndex : indexPath;
  const headBlock = isFramesIndex ? await readHead(path) : own;
  const signed = decodeHead(headBlock);
  if (signed.head.name !== image || signed.head.version !== version) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `${path} is the index of ${signed.head.name} version ${signed.head.version}: the file was renamed`,
    );
  }
  const changed = Math.max(...changes);
  return { signed, headBlock, isFramesIndex, packPath, indexPath: path, changedAt: changed };
}

/**
 * When one of the files of a version was last written to; undefined where neither is there.
 * @throws {AppError} ERR_FILE_DENIED, ERR_STORE_CORRUPT
 */
export async function lastChange(
  folder: string,
  image: string,
  version: number,
): Promise<number | undefined> {
  const changes = [
    await changedAt(join(folder, packFileName(image, version))),
    await changedAt(join(folder, indexFileName(image, version))),
  ].filter((at) => at !== undefined);
  return changes.length === 0 ? undefined : Math.max(...changes);
}

async function changedAt(path: string): Promise<number | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.mtimeMs : undefined;
  } catch (err) {
    const code = fileErrorCode(err);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw fileError(err, path);
  }
}

async function readHead(path: string): Promise<Uint8Array> {
  return await inFolder(path, async () => {
    const file = await open(path, "r");
    try {
      const block = new Uint8Array(HEAD_BYTES);
      const { bytesRead } = await file.read(block, 0, HEAD_BYTES, 0);
      return block.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  });
}

async function inFolder<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (err) {
    throw fileError(err, path);
  }
}
