import type { Logger } from "@ckmesh/core";
import {
  countDiskBytes,
  type DiskBase,
  type DiskPaths,
  estimateDiskBytes,
  type ImageStore,
  openDiskBase,
  type VersionFiles,
} from "@ckmesh/store";
import type { MaterializeFormat } from "../config/config-schema.js";
import { missingBytes } from "../version/needed-bytes.js";

export interface SpaceNeedOptions {
  readonly files: VersionFiles;
  readonly store: Pick<ImageStore, "requireSpace" | "canClone">;
  readonly format: MaterializeFormat;
  /** The disk that the new one may be a clone of. */
  readonly base: DiskPaths | undefined;
  readonly logger: Logger;
}

/** Bytes that a version will still take on the disk of the store. */
export interface SpaceNeeded {
  /** Of its pack and index. */
  readonly pack: number;
  /** Of its rebuilt disk, less what a clone shares: an estimate until the index is here. */
  readonly disk: number;
}

/** What space a version needs until it is active, so that it is not fetched where it cannot end. */
export class SpaceNeed {
  readonly #options: SpaceNeedOptions;
  readonly #base: DiskBase | undefined;
  #disk: number;
  #isExact = false;

  private constructor(options: SpaceNeedOptions, base: DiskBase | undefined) {
    this.#options = options;
    this.#base = base;
    this.#disk = options.format === "off" ? 0 : estimateDiskBytes(options.files.signed.head, base);
  }

  static async open(options: SpaceNeedOptions): Promise<SpaceNeed> {
    const { base, format, store } = options;
    const isUsed = base !== undefined && format !== "off" && store.canClone;
    return new SpaceNeed(options, isUsed ? await openDiskBase(base, format) : undefined);
  }

  get now(): SpaceNeeded {
    const { head } = this.#options.files.signed;
    return { pack: missingBytes(head, this.#options.files.bytes), disk: this.#disk };
  }

  get isNeeded(): boolean {
    const { pack, disk } = this.now;
    return pack + disk > 0;
  }

  /** @throws {AppError} ERR_STORE_FULL when what is to come does not fit; ERR_INDEX_INVALID */
  async require(): Promise<void> {
    const { files, store, format, logger } = this.#options;
    if (!this.#isExact && format !== "off") {
      const disk = await countDiskBytes(files, this.#base);
      this.#isExact = disk !== undefined;
      this.#disk = disk ?? this.#disk;
      if (this.#isExact) logger.info({ ...this.now }, "space needed");
    }
    const { pack, disk } = this.now;
    const { name, version } = files.signed.head;
    await store.requireSpace(pack + disk, `${name} version ${version}`);
  }
}
