import { type Clock, describeError, isAppError, type Logger } from "@ckmesh/core";
import type { SignedHead } from "@ckmesh/image";
import { lastChange, listStaged, readStagedPair, type StagedPair } from "./staged-pair.js";
import { within } from "./within.js";

/** A file written to within this time may not be whole yet; the origin waits as long for a pair in its folder. */
const QUIET_MS = 10_000;
/** A folder that does not answer for this long is not there. */
const ANSWER_MS = 10_000;

export interface StagingFolderOptions {
  readonly folder: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The folder of `preStage`, where pairs may lie before they are wanted; it may come and go. */
export class StagingFolder {
  readonly #options: StagingFolderOptions;

  constructor(options: StagingFolderOptions) {
    this.#options = options;
  }

  get path(): string {
    return this.#options.folder;
  }

  /**
   * The pair of just this version. `busy`: somebody is copying it here. Whatever is wrong with the folder means
   * that nothing is there.
   */
  async pairOf(signed: SignedHead): Promise<StagedPair | "busy" | undefined> {
    return await within(this.#options.clock, ANSWER_MS, this.#find(signed));
  }

  async #find({ head, idHex }: SignedHead): Promise<StagedPair | "busy" | undefined> {
    const { folder, logger } = this.#options;
    try {
      const changedAt = await lastChange(folder, head.name, head.version);
      if (changedAt === undefined) return undefined;
      if (this.#isRecent(changedAt)) return "busy";
      const pair = await readStagedPair(folder, head.name, head.version);
      if (pair === undefined || pair.signed.idHex === idHex) return pair;
      logger.warn({ file: pair.indexPath }, "pre-staged pair is not the version that is wanted");
    } catch (err) {
      logger.warn({ folder, reason: describeError(err) }, "pre-stage folder not read");
    }
    return undefined;
  }

  /** All pairs that are whole as far as their sizes and times tell, each image's newest first. */
  async pairs(): Promise<readonly StagedPair[]> {
    return (await within(this.#options.clock, ANSWER_MS, this.#list())) ?? [];
  }

  async #list(): Promise<readonly StagedPair[]> {
    const { folder, logger } = this.#options;
    try {
      const pairs: StagedPair[] = [];
      for (const found of await listStaged(folder)) {
        if ("problem" in found)
          logger.warn({ file: found.file, err: found.problem }, "pre-staged index is no use");
        else if (!this.#isRecent(found.pair.changedAt)) pairs.push(found.pair);
      }
      return pairs;
    } catch (err) {
      // A removable disk that is not there is nothing to tell of.
      if (!isAppError(err, "ERR_FILE_NOT_FOUND"))
        logger.warn({ folder, reason: describeError(err) }, "pre-stage folder not read");
      return [];
    }
  }

  /** Times far ahead are those of file systems without time zones, and say nothing. */
  #isRecent(changedAt: number): boolean {
    return Math.abs(this.#options.clock.wall() - changedAt) < QUIET_MS;
  }
}
