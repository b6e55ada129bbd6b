import type { Dirent } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isAppError, type Logger } from "@ckmesh/core";
import { decodeHead, HEAD_BYTES, parseImageName, parseServedName } from "@ckmesh/image";
import { fileErrorCode } from "../files/store-error.js";
import { type ImageRecord, loadImageRecord } from "./image-record.js";
import { versionPaths } from "./store-layout.js";

/** A version found in the store. */
export interface StoredVersion {
  readonly version: number;
  readonly isComplete: boolean;
  readonly headBlock: Uint8Array;
}

export function imageFolder(dir: string, image: string): string {
  return join(dir, "images", parseImageName(image));
}

/** Images of the store in `dir`; also for readers that do not have its lock. */
export async function listImages(dir: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const entry of await readdirOrNone(join(dir, "images"))) {
    if (!entry.isDirectory()) continue;
    try {
      names.push(parseImageName(entry.name));
    } catch (err) {
      if (!isAppError(err)) throw err; // a folder that is none of ours
    }
  }
  return names.toSorted();
}

/** Versions of an image in the store in `dir`, newest first; also for readers that do not have its lock. */
export async function listVersions(
  dir: string,
  image: string,
  logger: Logger,
): Promise<readonly StoredVersion[]> {
  const folder = imageFolder(dir, image);
  const found = new Map<number, StoredVersion>();
  for (const entry of await readdirOrNone(folder)) {
    if (!entry.isFile()) continue;
    const file = entry.name;
    const isPartial = file.endsWith(".partial");
    const served = parseServedName(isPartial ? file.slice(0, -".partial".length) : file);
    if (served?.kind !== "index" || served.name !== image) continue;
    if (served.version === undefined || served.from !== undefined) continue;
    const { version } = served;
    const headBlock = await readHead(join(folder, file), image, version, logger);
    if (headBlock === undefined) continue;
    const isComplete = !isPartial && (await exists(versionPaths(folder, image, version).pack));
    if (found.get(version)?.isComplete !== true) found.set(version, { version, isComplete, headBlock });
  }
  return [...found.values()].toSorted((a, b) => b.version - a.version);
}

/** The active pointer's version, read without the lock; undefined when none is active. */
export async function readRecord(dir: string, image: string, logger: Logger): Promise<ImageRecord> {
  return await loadImageRecord(imageFolder(dir, image), logger);
}

async function readHead(
  path: string,
  image: string,
  version: number,
  logger: Logger,
): Promise<Uint8Array | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const block = new Uint8Array(HEAD_BYTES);
    const { bytesRead } = await file.read(block, 0, HEAD_BYTES, 0);
    const { head } = decodeHead(block.subarray(0, bytesRead));
    if (head.name === image && head.version === version) return block;
    logger.warn({ file: path }, "index of another version under this name is left alone");
  } catch (err) {
    // Without the lock it may also have been renamed or removed since the folder was read.
    if (!isAppError(err) && fileErrorCode(err) === undefined) throw err;
    logger.warn({ err, file: path }, "unreadable index is left alone");
  } finally {
    await file?.close();
  }
  return undefined;
}

/** The entries of a folder; none when it is not there. */
export async function readdirOrNone(path: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT" || fileErrorCode(err) === "ENOTDIR") return [];
    throw err;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await statOrNone(path)) !== undefined;
}

/** Size and blocks of 512 bytes of a file; undefined when it is not there. */
export async function statOrNone(path: string): Promise<{ size: number; blocks: number } | undefined> {
  try {
    return await stat(path);
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return undefined;
    throw err;
  }
}
