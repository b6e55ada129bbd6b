import type { Run } from "@ckmesh/core";
import type { HeadCommon, Section, SectionKind } from "./index-head.js";
import { sectionPieces } from "./section-layout.js";

/** A piece of an index section. */
export interface Piece {
  readonly kind: SectionKind;
  /** Byte offset in the index. */
  readonly offset: number;
  readonly length: number;
}

/** How peers number a version: the pieces of all sections in head order, then the frames. */
export class RowLayout {
  readonly pieceRows: number;
  readonly frameRows: number;
  readonly rows: number;
  readonly #sections: readonly { readonly section: Section; readonly run: Run }[];

  constructor(head: Pick<HeadCommon, "sections" | "counts">) {
    let first = 0;
    this.#sections = head.sections.map((section) => {
      const run = { first, count: sectionPieces(section) };
      first += run.count;
      return { section, run };
    });
    this.pieceRows = first;
    this.frameRows = head.counts.frames;
    this.rows = this.pieceRows + this.frameRows;
  }

  isPiece(row: number): boolean {
    return row >= 0 && row < this.pieceRows;
  }

  /** Where a piece row lies in the index. `row` must be one (`isPiece`). */
  piece(row: number): Piece {
    for (const { section, run } of this.#sections) {
      if (row < run.first || row >= run.first + run.count) continue;
      const at = (row - run.first) * section.pieceLength;
      const length = Math.min(section.pieceLength, section.length - at);
      return { kind: section.kind, offset: section.offset + at, length };
    }
    throw new Error(`unreachable: row ${row} is no piece`);
  }

  /** The rows of a section; undefined when the index has no such section. */
  section(kind: SectionKind): Run | undefined {
    return this.#sections.find(({ section }) => section.kind === kind)?.run;
  }
}
