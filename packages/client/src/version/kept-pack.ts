import { join } from "node:path";
import type { Logger } from "@ckmesh/core";
import type { IndexHead } from "@ckmesh/image";
import { packKey, provenFormat, type ShedPack, shedPack, type VersionFiles } from "@ckmesh/store";
import { regainPack } from "../disk/regain-pack.js";
import type { VersionDriverOptions } from "./version-driver-options.js";

/** The files of a version: opened, given up for its disk, made again from that. */
export class KeptPack {
  readonly #head: IndexHead;
  readonly #options: Pick<VersionDriverOptions, "context" | "headBlock">;
  readonly #logger: Logger;
  readonly #signal: AbortSignal;
  readonly #key: string;
  #files: VersionFiles | undefined;
  #shed: ShedPack | undefined;
  #regaining: Promise<boolean> | undefined;

  /** @param signal ends what takes long */
  constructor(
    head: IndexHead,
    options: Pick<VersionDriverOptions, "context" | "headBlock" | "record">,
    logger: Logger,
    signal: AbortSignal,
  ) {
    this.#head = head;
    this.#options = options;
    this.#logger = logger;
    this.#signal = signal;
    this.#key = packKey(head.name, head.version);
    this.#shed = options.record.shed;
  }

  /** Undefined before `open`, and while there is no pack. */
  get files(): VersionFiles | undefined {
    return this.#files;
  }

  /** The pack was given up: there are the disk and the index only. */
  get shed(): ShedPack | undefined {
    return this.#shed;
  }

  /** @throws {AppError} as `ImageStore.openVersion` */
  async open(): Promise<VersionFiles> {
    const { context, headBlock } = this.#options;
    const files = await context.store.openVersion(this.#head.name, headBlock);
    this.#take(files);
    return files;
  }

  /** The disk is as it was proven, so that the pack may be given up for it. */
  async isProven(disk: string, versionId: string): Promise<boolean> {
    const folder = this.#options.context.store.folder(this.#head.name);
    return (await provenFormat(join(folder, disk), versionId)) !== undefined;
  }

  /**
   * Gives up the pack of a complete version: nobody uses its files any more.
   * @param save what `shed` says: before the pack goes, or a crash in between would leave nothing of it
   */
  async giveUp(files: VersionFiles, save: () => Promise<void>): Promise<void> {
    this.#shed = { rows: files.have.count, bytes: files.bytes };
    try {
      await save();
      this.#options.context.openPacks.delete(this.#key);
      this.#files = undefined;
      await files.close();
      const keptBytes = await shedPack(files.paths);
      this.#logger.info({ keptBytes }, "pack given up: the disk holds its frames");
    } catch (err) {
      this.#shed = undefined;
      throw err;
    }
  }

  /**
   * Makes the pack again from the disk, as far as that is right.
   * @returns false: it was not given up, or it is not known in which format the disk is
   * @throws {AppError} as `regainPack`
   */
  regain(disk: string, stop: AbortSignal): Promise<boolean> {
    // Whoever wants it meanwhile waits for this one.
    this.#regaining ??= this.#regain(disk, stop).finally(() => {
      this.#regaining = undefined;
    });
    return this.#regaining;
  }

  /** Whole rows stay on the disk. */
  async close(): Promise<void> {
    this.#options.context.openPacks.delete(this.#key);
    await this.#files?.close();
  }

  async #regain(disk: string, stop: AbortSignal): Promise<boolean> {
    const { context, headBlock } = this.#options;
    const logger = this.#logger;
    if (this.#shed === undefined) return false;
    const signal = AbortSignal.any([this.#signal, stop]);
    const files = await regainPack({ context, headBlock, disk, logger, signal });
    if (files === undefined) return false;
    this.#take(files);
    this.#shed = undefined;
    await context.store.noteFrames(files);
    return true;
  }

  #take(files: VersionFiles): void {
    this.#files = files;
    this.#options.context.openPacks.set(this.#key, files);
  }
}
