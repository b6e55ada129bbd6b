import type { Clock, Logger } from "@ckmesh/core";
import { type DeltaHead, decodeDeltaHead } from "@ckmesh/image";
import { RowFiles } from "../versions/row-files.js";
import { deltaPaths } from "../versions/store-layout.js";

export interface DeltaFilesOptions {
  /** The folder of the image; must exist. */
  readonly folder: string;
  /** The first 4096 bytes of the delta's index, as the origin sent them. */
  readonly headBlock: Uint8Array;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The two files of a delta on its way through the store. They stay `.partial`, whole or not: a delta is removed
 * once its target is complete, and nobody else reads it here.
 */
export class DeltaFiles extends RowFiles<DeltaHead> {
  private constructor({ folder, headBlock, clock, logger }: DeltaFilesOptions) {
    const signed = decodeDeltaHead(headBlock);
    const { name, version, base } = signed.head;
    super({ signed, headBlock, paths: deltaPaths(folder, name, version, base.version), clock, logger });
  }

  /**
   * Opens the delta where it was left, with every right row that lies on the disk.
   * @throws {AppError} ERR_STORE_FULL, ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
   */
  static async open(options: DeltaFilesOptions): Promise<DeltaFiles> {
    const files = new DeltaFiles(options);
    try {
      await files.openPartial();
    } catch (err) {
      await files.close();
      throw err;
    }
    return files;
  }

  /** All of the index is held. */
  get isIndexComplete(): boolean {
    return this.have.hasAll(0, this.table.layout.pieceRows);
  }
}
