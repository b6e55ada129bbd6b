import type { ByteSource } from "./byte-source.js";
import { diskSectors } from "./disk-grid.js";
import { FrameTable } from "./frame-table.js";
import { decodeHead } from "./head-codec.js";
import type { IndexHead } from "./index-head.js";
import { openHead, SectionFile } from "./section-file.js";
import { SectorMapCursor } from "./sector-map.js";

/** A whole index behind a reader: head and hashes are checked when it opens, sections when they are read. */
export class IndexFile extends SectionFile<IndexHead> {
  /** @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED */
  static async open(source: ByteSource): Promise<IndexFile> {
    return new IndexFile(source, await openHead(source, decodeHead));
  }

  /** @throws {AppError} ERR_INDEX_INVALID */
  async frames(): Promise<FrameTable> {
    return FrameTable.decode(await this.section("frames"), this.head);
  }

  /** The map from its start; empty for an opaque pack. @throws {AppError} ERR_INDEX_INVALID */
  async map(): Promise<SectorMapCursor> {
    const { disk, counts } = this.head;
    return new SectorMapCursor(
      await this.section("map"),
      disk === undefined ? 0 : diskSectors(disk),
      counts.sectors,
    );
  }
}
