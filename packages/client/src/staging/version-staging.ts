import type { Clock, Logger } from "@ckmesh/core";
import type { SignedHead } from "@ckmesh/image";
import type { IoPacer, VersionFiles } from "@ckmesh/store";
import type { StagedPair } from "./staged-pair.js";
import { StagedSource } from "./staged-source.js";
import type { StagingFolder } from "./staging-folder.js";

export interface VersionStagingOptions {
  readonly signed: SignedHead;
  readonly folder: StagingFolder | undefined;
  /** What is copied passes here. */
  readonly io: IoPacer | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What one version takes from a pair outside of the store: one that was handed over, else that of the folder. */
export class VersionStaging {
  readonly #options: VersionStagingOptions;
  /** Given by a person, whatever lies in the pre-stage folder. */
  #handed: StagedPair | undefined;
  #source: StagedSource | undefined;
  #awaitsPair = false;

  constructor(options: VersionStagingOptions) {
    this.#options = options;
  }

  /** While a transfer runs: where more rows may come from. */
  get source(): StagedSource | undefined {
    return this.#source;
  }

  /** Not begun: its pair is being copied to the pre-stage folder. */
  get awaitsPair(): boolean {
    return this.#awaitsPair;
  }

  /** Pack from which rows are being copied. */
  get importing(): string | undefined {
    return this.#source?.isBusy === true ? this.#source.pair.packPath : undefined;
  }

  hand(pair: StagedPair): void {
    this.#handed = pair;
  }

  /**
   * Stores the pieces of the index that the pair has; its frames follow by the plan of `source`.
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
    if (pair === undefined) return true;
    this.#source = new StagedSource({ pair, files, io, clock, logger });
    await this.#source.takeIndex();
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
  }
}
