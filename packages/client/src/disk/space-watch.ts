import type { AppError, Clock, Logger } from "@ckmesh/core";
import type { DiskPaths, ImageStore, VersionFiles } from "@ckmesh/store";
import { asAppError } from "../as-app-error.js";
import type { MaterializeFormat } from "../config/config-schema.js";
import type { DeltaSpace } from "../delta/delta-space.js";
import { SpaceNeed, type SpaceNeeded } from "./space-need.js";

/** How often the free space is looked at while rows come. */
const LOOK_MS = 5000;

export interface SpaceWatchOptions {
  readonly store: Pick<ImageStore, "requireSpace" | "canClone">;
  /** Of the disk that is still to be built. */
  readonly format: () => MaterializeFormat;
  /** The disk that the new one may be a clone of. */
  readonly base: () => DiskPaths | undefined;
  /** What updating by a delta takes beside. */
  readonly delta: () => DeltaSpace;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What is to come does not fit any more. */
  readonly onFault: (err: AppError) => void;
}

/** Looks at the free space before a version is fetched, and now and then while it is. */
export class SpaceWatch {
  readonly #options: SpaceWatchOptions;
  #need: SpaceNeed | undefined;
  #seenAt = Number.NEGATIVE_INFINITY;

  constructor(options: SpaceWatchOptions) {
    this.#options = options;
  }

  /** What the version will still take; undefined: nothing, or it is not known. */
  get needed(): SpaceNeeded | undefined {
    return this.#need?.isNeeded === true ? this.#need.now : undefined;
  }

  /**
   * @param moreBytes for what else is about to be written
   * @throws {AppError} ERR_STORE_FULL when what is missing does not fit; ERR_INDEX_INVALID
   */
  async require(files: VersionFiles, moreBytes = 0): Promise<void> {
    const { store, format, base, delta, logger } = this.#options;
    this.#need ??= await SpaceNeed.open({ files, store, format: format(), base: base(), delta, logger });
    await this.#need.require(moreBytes);
  }

  /** Rows came. */
  look(files: VersionFiles): void {
    const now = this.#options.clock.now();
    if (files.isComplete || now - this.#seenAt < LOOK_MS) return;
    this.#seenAt = now;
    this.require(files).catch((err: unknown) => {
      this.#options.onFault(asAppError(err));
    });
  }

  /** The files are closed. */
  forget(): void {
    this.#need = undefined;
  }
}
