import type { Dirent } from "node:fs";
import { chmod, mkdir, rm, statfs } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { AppError, type Clock, formatBytes, type Logger, MIB } from "@ckmesh/core";
import { decodeDeltaHead, decodeHead, type HeadCommon, indexLength, packFileName } from "@ckmesh/image";
import type { Background } from "../background.js";
import { DeltaFiles } from "../delta/delta-files.js";
import { StepFiles } from "../delta/step-files.js";
import { deltaFileNames } from "../delta/stored-deltas.js";
import { canCloneIn } from "../disk/clone-file.js";
import { diskStampPath } from "../disk/disk-stamp.js";
import { onDisk } from "../files/store-error.js";
import { isTemporaryName } from "../files/temporary-file.js";
import { writeAtomic } from "../files/write-atomic.js";
import { FrameHints } from "../pack/frame-hints.js";
import { type ImageRecord, loadImageRecord, saveImageRecord } from "./image-record.js";
import { deltaPaths, stepPaths, type VersionPaths, versionPaths } from "./store-layout.js";
import {
  imageFolder,
  listImages,
  listVersions,
  readdirOrNone,
  type StoredVersion,
  statOrNone,
} from "./stored-versions.js";
import { VersionFiles } from "./version-files.js";

/** Left free on the disk, whatever is fetched. */
const RESERVE_BYTES = 64 * MIB;

export interface StoreOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** How work is done beside which people use the machine; default: as fast as it goes. */
  readonly background?: Background;
}

/**
 * A client's folder of images, used by one process at a time.
 * ```
 * hints/                      level: rebuildable hints, and the lock
 * images/NAME/NAME_n.ckm(.index)      proven · .partial (.have, .sources) while they come
 * images/NAME/NAME_n.ckm.decoded              frames of a partial pack that this machine cannot pack, decoded
 * images/NAME/NAME_n.from_m.ckm….partial (.have, .sources)   a delta, until version n is complete
 * images/NAME/NAME_n.from_k.ckm.step….partial (.have, .sources, .decoded)   what it needs of version k, where k is not here
 * images/NAME/state.json              the record of the image · active: the pointer that others may read
 * ```
 */
export class ImageStore {
  readonly dir: string;
  readonly hints: FrameHints;
  /** Files in it can be cloned. */
  readonly canClone: boolean;
  readonly background: Background;
  readonly #options: StoreOptions;

  private constructor(dir: string, hints: FrameHints, canClone: boolean, options: StoreOptions) {
    this.dir = dir;
    this.canClone = canClone;
    this.hints = hints;
    this.background = options.background ?? {};
    this.#options = options;
  }

  /** @throws {AppError} ERR_STORE_BUSY, ERR_CONFIG_INVALID when the folder cannot be used */
  static async open(dir: string, options: StoreOptions): Promise<ImageStore> {
    const root = resolve(dir);
    await onDisk(root, async () => {
      await mkdir(join(root, "images"), { recursive: true, mode: 0o700 });
      await mkdir(join(root, "hints"), { recursive: true, mode: 0o700 });
      if (process.platform !== "win32") await chmod(root, 0o700);
    });
    const hints = await FrameHints.open(join(root, "hints"), options.logger);
    const store = new ImageStore(root, hints, await canCloneIn(join(root, "images")), options);
    try {
      await onDisk(root, () => store.#removeLeftovers());
    } catch (err) {
      await store.close();
      throw err;
    }
    return store;
  }

  /** The folder of an image. */
  folder(image: string): string {
    return imageFolder(this.dir, image);
  }

  /** Images with a folder, in alphabetical order. */
  async images(): Promise<readonly string[]> {
    return await listImages(this.dir);
  }

  async loadRecord(image: string): Promise<ImageRecord> {
    await mkdir(this.folder(image), { recursive: true, mode: 0o700 });
    return await loadImageRecord(this.folder(image), this.#options.logger);
  }

  async saveRecord(image: string, record: ImageRecord): Promise<void> {
    await saveImageRecord(this.folder(image), record);
  }

  /** Versions with an index head on the disk, newest first; what does not parse is left alone and logged. */
  async versions(image: string): Promise<readonly StoredVersion[]> {
    return await listVersions(this.dir, image, this.#options.logger);
  }

  /**
   * Opens (or begins) a version after checking that there is room for what is missing.
   * @throws {AppError} ERR_STORE_FULL
   */
  async openVersion(image: string, headBlock: Uint8Array): Promise<VersionFiles> {
    const { head } = decodeHead(headBlock);
    if (head.name !== image) throw new Error(`unreachable: ${head.name} in the folder of ${image}`);
    const folder = this.folder(image);
    await this.#makeRoom(head, versionPaths(folder, image, head.version), `${image} version ${head.version}`);
    return await VersionFiles.open({ folder, headBlock, ...this.#options, io: this.background.io });
  }

  /**
   * Opens (or begins) a delta after checking that there is room for what is missing. That it leads where it should
   * is for the caller to check (`checkDeltaEnds`).
   * @throws {AppError} ERR_STORE_FULL, ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
   */
  async openDelta(image: string, headBlock: Uint8Array): Promise<DeltaFiles> {
    const { head } = decodeDeltaHead(headBlock);
    const { version, base } = head;
    if (head.name !== image)
      throw new AppError("ERR_INDEX_INVALID", `a delta of ${head.name}, not of ${image}`);
    const folder = this.folder(image);
    const what = `the delta from ${image} version ${base.version} to ${version}`;
    // What is still to come of the target needs its room too.
    const rest = await holes(versionPaths(folder, image, version).packPartial);
    await this.#makeRoom(head, deltaPaths(folder, image, version, base.version), what, rest);
    return await DeltaFiles.open({ folder, headBlock, ...this.#options });
  }

  /**
   * Opens (or begins) the step from which the delta to `version` starts. Of the rows only those are written that it
   * needs; room for them is for the caller to require, as soon as they are known.
   * @throws {AppError} ERR_STORE_FULL, ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
   */
  async openStep(image: string, version: number, headBlock: Uint8Array): Promise<StepFiles> {
    const { head } = decodeHead(headBlock);
    if (head.name !== image)
      throw new AppError("ERR_INDEX_INVALID", `a version of ${head.name}, not of ${image}`);
    const folder = this.folder(image);
    const paths = stepPaths(folder, image, version, head.version);
    // There a file takes all of its size at once.
    if (process.platform === "win32")
      await this.#makeRoom(head, paths, `the step at ${image} version ${head.version}`);
    return await StepFiles.open({ folder, version, headBlock, ...this.#options });
  }

  /** Removes the delta from version `from` to `version` and its step, as far as they are there. The caller has closed them. */
  async removeDelta(image: string, version: number, from: number): Promise<void> {
    const folder = this.folder(image);
    const files = [deltaPaths, stepPaths].flatMap((paths) =>
      Object.values(paths(folder, image, version, from)),
    );
    for (const path of files) await rm(path, { force: true });
  }

  /** Removes the deltas to a version that has all it needs, and those to steps on the way there. None of them is open. */
  async removeDeltasTo(image: string, version: number): Promise<void> {
    const versions = await this.versions(image);
    // Those to lower versions may lead to one that is still fetched.
    const isLast = versions.every((other) => other.isComplete || other.version >= version);
    await this.#removeDeltas(image, (to) => to === version || (isLast && to < version));
  }

  /** @throws {AppError} ERR_STORE_FULL when less than `bytes` and a reserve are free */
  async requireSpace(bytes: number, what: string): Promise<void> {
    const free = await this.freeBytes();
    const needed = Math.max(0, bytes);
    if (needed === 0 || free >= needed + RESERVE_BYTES) return;
    throw new AppError(
      "ERR_STORE_FULL",
      `${what} needs ${formatBytes(needed)} in ${this.dir} and ${formatBytes(RESERVE_BYTES)} must stay free, but only ${formatBytes(free)} are: free some space, the work then goes on`,
      { details: { needed, free } },
    );
  }

  /** Bytes that this process may still write to the disk of the store. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await onDisk(this.dir, () => statfs(this.dir));
    return bavail * bsize;
  }

  /** Removes a version and all that belongs to it, deltas to it too. The caller has closed it and it is not the active one. */
  async removeVersion(image: string, version: number, disk?: string): Promise<void> {
    const paths = versionPaths(this.folder(image), image, version);
    const isUnfinished = (await statOrNone(paths.indexPartial)) !== undefined;
    await this.hints.remove(packKey(image, version));
    const diskPath = disk === undefined ? undefined : join(this.folder(image), disk);
    const disks = diskPath === undefined ? [] : [diskPath, diskStampPath(diskPath)];
    for (const path of [...Object.values(paths), ...disks]) await rm(path, { force: true });
    // Those to lower versions were steps on the way to an unfinished one.
    await this.#removeDeltas(image, (to) => to === version || (isUnfinished && to < version));
  }

  /** Notes the frames of a complete version as sources for others. */
  async noteFrames(files: VersionFiles): Promise<void> {
    const { name, version } = files.signed.head;
    if (files.frames !== undefined) await this.hints.add(packKey(name, version), files.frames);
  }

  /** Switches the active version: one small file, replaced atomically, that other programs may read. */
  async setActive(image: string, version: number, disk: string | undefined): Promise<void> {
    const pointer = { version, pack: packFileName(image, version), ...(disk !== undefined && { disk }) };
    await writeAtomic(join(this.folder(image), "active"), `${JSON.stringify(pointer)}\n`);
  }

  async close(): Promise<void> {
    await this.hints.close();
  }

  /** Makes the folder of a pair; requires space for what it does not take yet, and `more` bytes. */
  async #makeRoom(head: HeadCommon, paths: VersionPaths, what: string, more = 0): Promise<void> {
    await mkdir(dirname(paths.pack), { recursive: true, mode: 0o700 });
    const held = (await allocated(paths.pack)) + (await allocated(paths.packPartial));
    await this.requireSpace(head.pack.length + indexLength(head) - held + more, what);
  }

  /** What a crash left: unfinished files, such as disks that were being rebuilt, and deltas that are of no more use. */
  async #removeLeftovers(): Promise<void> {
    for (const image of await this.images()) {
      for (const entry of await readdirOrNone(this.folder(image))) {
        if (!entry.isFile() || !isTemporaryName(entry.name)) continue;
        this.#options.logger.info({ image, file: entry.name }, "unfinished file removed");
        await rm(join(this.folder(image), entry.name), { force: true });
      }
      await this.#removeOldDeltas(image);
    }
  }

  /** Deltas to versions that are complete, and those that lead to none that is on its way. */
  async #removeOldDeltas(image: string): Promise<void> {
    const names = namesOf(await readdirOrNone(this.folder(image)));
    if (deltaFileNames(image, names).length === 0) return;
    const versions = await this.versions(image);
    const complete = new Set(versions.filter(({ isComplete }) => isComplete).map(({ version }) => version));
    // One to a version below it may be a step on the way there.
    const newest = versions.find(({ isComplete }) => !isComplete)?.version ?? 0;
    await this.#removeDeltas(image, (to) => to > newest || complete.has(to));
  }

  /** @param isOld says so of the version to which a delta leads */
  async #removeDeltas(image: string, isOld: (to: number) => boolean): Promise<void> {
    const folder = this.folder(image);
    for (const { file, version } of deltaFileNames(image, namesOf(await readdirOrNone(folder))))
      if (isOld(version)) await rm(join(folder, file), { force: true });
  }
}

/** The name of a pack in the hints. */
export function packKey(image: string, version: number): string {
  return `${image}/${version}`;
}

function namesOf(entries: readonly Dirent[]): readonly string[] {
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}

async function allocated(path: string): Promise<number> {
  const found = await statOrNone(path);
  if (found === undefined) return 0;
  return process.platform === "win32" ? found.size : Math.min(found.size, found.blocks * 512);
}

/** Bytes of a file that it does not take yet. */
async function holes(path: string): Promise<number> {
  return ((await statOrNone(path))?.size ?? 0) - (await allocated(path));
}
