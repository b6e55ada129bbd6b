import type { Clock, Logger } from "@ckmesh/core";
import { decodeHead } from "@ckmesh/image";
import { ImageRows } from "../versions/image-rows.js";
import { stepPaths } from "../versions/store-layout.js";

export interface StepFilesOptions {
  /** The folder of the image; must exist. */
  readonly folder: string;
  /** The first 4096 bytes of the index of the version that the step is at, as the origin sent them. */
  readonly headBlock: Uint8Array;
  /** The version to which the delta leads that starts here. */
  readonly version: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A step on the way through several deltas: those rows of a version between from which the next delta starts. The
 * files are sparse, stay `.partial`, and go with that delta; nobody takes them for a version.
 */
export class StepFiles extends ImageRows {
  private constructor({ folder, headBlock, version, clock, logger }: StepFilesOptions) {
    const signed = decodeHead(headBlock);
    const paths = stepPaths(folder, signed.head.name, version, signed.head.version);
    super({ signed, headBlock, paths, clock, logger });
  }

  /**
   * Opens the step where it was left, with every right row that lies on the disk.
   * @throws {AppError} ERR_STORE_FULL, ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
   */
  static async open(options: StepFilesOptions): Promise<StepFiles> {
    const files = new StepFiles(options);
    try {
      await files.openPartial();
      await files.findDecoded();
    } catch (err) {
      await files.close();
      throw err;
    }
    return files;
  }
}
