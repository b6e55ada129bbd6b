import { dirname } from "node:path";
import type { Clock, Logger } from "@ckmesh/core";
import type { SignedHead } from "@ckmesh/image";
import type { IoPacer, VersionFiles } from "@ckmesh/store";
import type { LocalPlanner } from "../local/combine-plans.js";
import { EqualFrames } from "./equal-frames.js";
import { folderPlanner } from "./folder-planner.js";
import type { StagedPair } from "./staged-pair.js";
import { StagedSource } from "./staged-source.js";
import type { StagingFolder } from "./staging-folder.js";

/** How often it is looked whether a pair has been copied to the pre-stage folder by now. */
export const STAGING_LOOK_MS = 5000;

export interface VersionStagingOptions {
  readonly signed: SignedHead;
  readonly folder: StagingFolder | undefined;
  /** What is copied passes here. */
  readonly io: IoPacer | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What one version takes from a folder outside of the store: that of a pair that was handed over, else `preStage`. */
export class VersionStaging {
  readonly #options: VersionStagingOptions;
  /** Given by a person, whatever lies in the pre-stage folder. */
  #handed: StagedPair | undefined;
  #source: StagedSource | undefined;
  #others: EqualFrames | undefined;
  /** While a transfer runs: where frames may come from. */
  #planner: LocalPlanner | undefined;
  #awaitsPair = false;

  constructor(options: VersionStagingOptions) {
    this.#options = options;
  }

  /** Frames of the folder, while a transfer runs. */
  get planner(): LocalPlanner | undefined {
    return this.#planner;
  }

  /** Not begun: its pair is being copied to the pre-stage folder. */
  get awaitsPair(): boolean {
    return this.#awaitsPair;
  }

  /** Pack, or folder of other versions, from which rows are being copied. */
  get importing(): string | undefined {
    if (this.#source?.isBusy === true) return this.#source.pair.packPath;
    return this.#others?.isBusy === true ? this.#others.folder : undefined;
  }

  hand(pair: StagedPair): void {
    this.#handed = pair;
  }

  /**
   * Stores the pieces of the index that the pair has; frames follow by `planner`.
   * @returns false: it is being copied to the folder, look again later
   * @throws {AppError} as `VersionFiles.write`
   */
  async begin(files: VersionFiles): Promise<boolean> {
    const { signed, folder, io, clock, logger } = this.#options;
    const pair = this.#handed ?? (await folder?.pairOf(signed));
    this.#awaitsPair = pair === "busy";
    if (pair === "busy") {
      logger.info({}, "waits for the pre-stage folder: the pair is being copied there");
      return false;
    }
    const where = pair === undefined ? folder?.path : dirname(pair.indexPath);
    if (where === undefined) return true;
    this.#source = pair && new StagedSource({ pair, files, io, clock, logger });
    this.#others = new EqualFrames({ folder: where, files, io, clock, logger });
    this.#planner = folderPlanner(files, this.#source, this.#others);
    await this.#source?.takeIndex();
    return true;
  }

  /** A pair has come to the folder since this version was begun, or has been put right there. */
  async hasNews(): Promise<boolean> {
    if (this.#handed !== undefined) return false;
    const pair = await this.#options.folder?.pairOf(this.#options.signed);
    return pair !== undefined && pair !== "busy" && pair.changedAt !== this.#source?.pair.changedAt;
  }

  /** The transfer has ended. */
  end(): void {
    this.#source = undefined;
    this.#others = undefined;
    this.#planner = undefined;
  }
}
