import { AppError } from "@ckmesh/core";
import type { ByteSource } from "./byte-source.js";
import { HEAD_BYTES } from "./constants.js";
import { diskSectors } from "./disk-grid.js";
import { FrameTable } from "./frame-table.js";
import { decodeHead } from "./head-codec.js";
import type { IndexHead, SectionKind, SignedHead } from "./index-head.js";
import { PieceHashes } from "./piece-hashes.js";
import { RowLayout } from "./row-layout.js";
import { SectorMapCursor } from "./sector-map.js";

/** A whole index behind a reader: head and hashes are checked when it opens, sections when they are read. */
export class IndexFile {
  readonly signed: SignedHead;
  readonly head: IndexHead;
  readonly layout: RowLayout;
  readonly hashes: PieceHashes;
  readonly #source: ByteSource;

  private constructor(source: ByteSource, signed: SignedHead, hashes: PieceHashes) {
    this.#source = source;
    this.signed = signed;
    this.head = signed.head;
    this.layout = new RowLayout(signed.head);
    this.hashes = hashes;
  }

  /** @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED */
  static async open(source: ByteSource): Promise<IndexFile> {
    const signed = decodeHead(await source.read(0, Math.min(source.length, HEAD_BYTES)));
    const length = indexLength(signed.head);
    if (source.length !== length) {
      throw new AppError(
        "ERR_INDEX_INVALID",
        `the index has ${source.length} bytes, its head says ${length}`,
      );
    }
    const own = signed.head.sections.find(({ kind }) => kind === "hashes");
    const section = await source.read(own?.offset ?? 0, own?.length ?? 0);
    return new IndexFile(source, signed, new PieceHashes(section, signed.head));
  }

  /**
   * A whole section, proven by its hashes; empty when the index has none of that kind.
   * @throws {AppError} ERR_INDEX_INVALID
   */
  async section(kind: SectionKind): Promise<Uint8Array> {
    const found = this.head.sections.find((section) => section.kind === kind);
    if (found === undefined) return new Uint8Array(0);
    const bytes = await this.#source.read(found.offset, found.length);
    const rows = this.layout.section(kind) ?? { first: 0, count: 0 };
    for (let row = rows.first; row < rows.first + rows.count; row += 1) {
      const piece = this.layout.piece(row);
      const start = piece.offset - found.offset;
      if (!this.hashes.matches(row, bytes.subarray(start, start + piece.length))) {
        throw new AppError(
          "ERR_INDEX_INVALID",
          `section ${kind} is damaged between bytes ${piece.offset} and ${piece.offset + piece.length - 1} of the index`,
        );
      }
    }
    return bytes;
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

/** Bytes of the whole index that a head describes. */
export function indexLength(head: IndexHead): number {
  const last = head.sections.at(-1);
  return last === undefined ? HEAD_BYTES : last.offset + last.length;
}
