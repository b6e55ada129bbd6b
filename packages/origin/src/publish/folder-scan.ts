import type { Stats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { parseControlFileName, parseServedName } from "@ckmesh/image";
import type { FileStamp } from "../catalogue/catalogue.js";
import { deltaKey, fileKey } from "../serve/served-path.js";

/** The files of one version as they lie in the folder; a pair when both are there. */
export interface FolderPair {
  readonly name: string;
  readonly version: number;
  readonly pack?: FileStamp;
  readonly index?: FileStamp;
}

/** The files of one delta as they lie in the folder. */
export interface FolderDelta extends FolderPair {
  /** The version that it leads from; `version` is the one that it leads to. */
  readonly from: number;
}

/** A file `NAME.control.index`. */
interface FolderControl {
  readonly image: string;
  readonly file: FileStamp;
}

export interface FolderScan {
  /** By `fileKey(NAME_n)`. */
  readonly pairs: ReadonlyMap<string, FolderPair>;
  /** By `deltaKey`. */
  readonly deltas: ReadonlyMap<string, FolderDelta>;
  /** By `fileKey(NAME)`. */
  readonly controls: ReadonlyMap<string, FolderControl>;
  /** Files that can never be published, with the reason. */
  readonly unusable: ReadonlyMap<string, string>;
}

/** Files of a folder that are looked at; more are an error of the admin, not a reason to fill the memory. */
const MAX_FILES = 200_000;

/**
 * Lists the packs, indexes, deltas and control records of a folder; sub-folders and other files do not count, links are refused.
 * @throws {Error} of the file system when the folder cannot be read
 */
export async function scanFolder(root: string): Promise<FolderScan> {
  const pairs = new Map<string, FolderPair>();
  const deltas = new Map<string, FolderDelta>();
  const controls = new Map<string, FolderControl>();
  const unusable = new Map<string, string>();
  const entries = await readdir(root);
  for (const fileName of entries.slice(0, MAX_FILES)) {
    const image = parseControlFileName(fileName);
    if (image !== undefined) {
      const file = await controlOf(root, fileName, unusable); // oxlint-disable-line no-await-in-loop -- as below
      const key = fileKey(image);
      if (controls.has(key))
        unusable.set(fileName, "another file bears the same name in upper or lower case");
      else if (file !== undefined) controls.set(key, { image, file });
    }
    if (!/\.ckm(?:\.index)?$/i.test(fileName)) continue;
    const served = parseServedName(fileName);
    if (served?.version === undefined) {
      unusable.set(fileName, "not named like an image version: NAME_n.ckm and NAME_n.ckm.index, n = 1, 2, …");
      continue;
    }
    // Our own indexes of foreign packs are not published from the folder.
    if (served.kind === "frames-index") continue;
    const path = join(root, fileName);
    const stats = await statOrGone(path); // oxlint-disable-line no-await-in-loop -- one at a time spares network shares
    if (stats === undefined) continue;
    if (!stats.isFile()) {
      unusable.set(fileName, whyNoFile(stats));
      continue;
    }
    const { size, mtimeMs, ino } = stats;
    const { name, version, from, kind } = served;
    const half = kind === "pack" ? "pack" : "index";
    const stamp = { path, size, mtimeMs, ino };
    const isAdded =
      from === undefined
        ? addHalf(pairs, fileKey(`${name}_${version}`), { name, version }, half, stamp)
        : addHalf(deltas, deltaKey(name, version, from), { name, version, from }, half, stamp);
    if (!isAdded) unusable.set(fileName, "another file bears the same name in upper or lower case");
  }
  return { pairs, deltas, controls, unusable };
}

/** Adds one file to its pair; false when there is such a file already. */
function addHalf<P extends FolderPair>(
  pairs: Map<string, P>,
  key: string,
  fresh: P,
  half: "pack" | "index",
  stamp: FileStamp,
): boolean {
  const pair = pairs.get(key) ?? fresh;
  if (pair.name !== fresh.name || pair[half] !== undefined) return false;
  pairs.set(key, { ...pair, [half]: stamp });
  return true;
}

async function controlOf(
  root: string,
  fileName: string,
  unusable: Map<string, string>,
): Promise<FileStamp | undefined> {
  const path = join(root, fileName);
  const stats = await statOrGone(path);
  if (stats === undefined) return undefined;
  if (stats.isFile()) return { path, size: stats.size, mtimeMs: stats.mtimeMs, ino: stats.ino };
  unusable.set(fileName, whyNoFile(stats));
  return undefined;
}

function whyNoFile(stats: Stats): string {
  return stats.isSymbolicLink() ? "a symbolic link; copy the file itself" : "not a file";
}

async function statOrGone(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch {
    return undefined; // Taken away between listing and looking; the next scan tells.
  }
}

/** Equal for equal files: size, time and inode of both. */
export function pairFingerprint(pair: FolderPair): string {
  return `${stampText(pair.pack)}/${stampText(pair.index)}`;
}

function stampText(stamp: FileStamp | undefined): string {
  return stamp === undefined ? "-" : `${stamp.size}:${stamp.mtimeMs}:${stamp.ino}`;
}
