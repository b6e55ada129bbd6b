import type { ByteSource } from "../byte-source.js";
import { FrameTable } from "../frame-table.js";
import type { DeltaHead } from "../index-head.js";
import { openHead, SectionFile } from "../section-file.js";
import { decodeDeltaHead } from "./delta-head-codec.js";
import { DeltaRefs } from "./delta-refs.js";

/** The index of a delta behind a reader. */
export class DeltaFile extends SectionFile<DeltaHead> {
  /** @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED */
  static async open(source: ByteSource): Promise<DeltaFile> {
    return new DeltaFile(source, await openHead(source, decodeDeltaHead));
  }

  /** The frames of the delta's own pack. @throws {AppError} ERR_INDEX_INVALID */
  async frames(): Promise<FrameTable> {
    return FrameTable.decode(await this.section("frames"), this.head);
  }

  /** @throws {AppError} ERR_INDEX_INVALID */
  async refs(): Promise<DeltaRefs> {
    return new DeltaRefs(await this.section("refs"), this.head.counts.frames);
  }
}
