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
import { type DeltaSpace, NO_DELTA_SPACE } from "../delta/delta-space.js";
import { missingBytes } from "../version/needed-bytes.js";

export interface SpaceNeedOptions {
  readonly files: VersionFiles;
  readonly store: Pick<ImageStore, "requireSpace" | "canClone">;
  readonly format: MaterializeFormat;
  /** The disk that the new one may be a clone of. */
  readonly base: DiskPaths | undefined;
  /** What updating by a delta takes beside. */
  readonly delta: () => DeltaSpace;
  readonly logger: Logger;
}

/** Bytes that a version will still take on the disk of the store. */
export interface SpaceNeeded {
  /** Of its pack and index. */
  readonly pack: number;
  /** Of its rebuilt disk, less what a clone shares: an estimate until the index is here. */
  readonly disk: number;
  /** Of deltas that are fetched, and of steps on the way; they go when the version is here. */
  readonly delta?: number;
  /** Of frames that are kept decoded beside the pack, as this machine cannot pack them. */
  readonly decoded?: number;
}

/** What space a version needs until it is active, so that it is not fetched where it cannot end. */
export class SpaceNeed {
  readonly #options: SpaceNeedOptions;
  readonly #base: DiskBase | undefined;
  #disk: number;
  #isExact = false;
  /** As it was when the free space was looked at last: counting takes a moment. */
  #delta = NO_DELTA_SPACE;

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
    const { files } = this.#options;
    const { delta, decoded } = this.#delta;
    return {
      // Frames that are here decoded may still come packed.
      pack: missingBytes(files.signed.head, files.packedBytes),
      disk: this.#disk,
      ...(delta > 0 && { delta }),
      ...(decoded > 0 && { decoded }),
    };
  }

  get isNeeded(): boolean {
    return this.#sum > 0;
  }

  get #sum(): number {
    const { pack, disk, delta = 0, decoded = 0 } = this.now;
    return pack + disk + delta + decoded;
  }

  /**
   * @param moreBytes for what else is about to be written
   * @throws {AppError} ERR_STORE_FULL when what is to come does not fit; ERR_INDEX_INVALID
   */
  async require(moreBytes = 0): Promise<void> {
    const { files, store, format, logger } = this.#options;
    if (!this.#isExact && format !== "off") {
      const disk = await countDiskBytes(files, this.#base);
      this.#isExact = disk !== undefined;
      this.#disk = disk ?? this.#disk;
      if (this.#isExact) logger.info({ ...this.now }, "space needed");
    }
    this.#delta = this.#options.delta();
    const { name, version } = files.signed.head;
    await store.requireSpace(this.#sum + moreBytes, `${name} version ${version}`);
  }
}
