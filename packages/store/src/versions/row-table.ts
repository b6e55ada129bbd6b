import { equalBytes, type Run, sha256 } from "@ckmesh/core";
import {
  FrameTable,
  type HeadCommon,
  type IndexHead,
  isOpaquePack,
  PACK_HEADER_BYTES,
  type PackFacts,
  PieceHashes,
  RowLayout,
} from "@ckmesh/image";

/** Adjacent bytes of one of the two files. */
export interface FileRange {
  readonly file: "index" | "pack";
  readonly offset: number;
  readonly length: number;
}

export type RowCheck = "good" | "bad" | "unknown";

/** What the rows of a version, or of a delta, need to know of its head. */
export type RowsHead = HeadCommon & PackFacts;

/**
 * Where the rows of one version, or of one delta, lie and what their hashes are. Learns in two steps: piece hashes once the
 * `hashes` section is held, frames once the frame table is; before that a row's check is `unknown`.
 */
export class RowTable<H extends RowsHead = IndexHead> {
  readonly head: H;
  readonly layout: RowLayout;
  #hashes: PieceHashes | undefined;
  #frames: FrameTable | undefined;

  constructor(head: H) {
    this.head = head;
    this.layout = new RowLayout(head);
  }

  get frames(): FrameTable | undefined {
    return this.#frames;
  }

  get knowsPieces(): boolean {
    return this.#hashes !== undefined;
  }

  /** @throws {AppError} ERR_INDEX_INVALID when the section is not the one that the head names */
  learnHashes(section: Uint8Array): void {
    this.#hashes ??= new PieceHashes(section, this.head);
  }

  /** @throws {AppError} ERR_INDEX_INVALID */
  learnFrames(section: Uint8Array): void {
    this.#frames ??= FrameTable.decode(section, this.head);
  }

  /** Rows whose place is known now: pieces first, frames once the frame table is. */
  get knownRows(): number {
    return this.#frames === undefined ? this.layout.pieceRows : this.layout.rows;
  }

  isKnown(first: number, count: number): boolean {
    return first >= 0 && count > 0 && first + count <= this.knownRows;
  }

  /** Bytes of a known row. */
  length(row: number): number {
    return this.layout.isPiece(row) ? this.layout.piece(row).length : this.#frame(row).length;
  }

  /** Bytes of a run of known rows. */
  runLength(run: Run): number {
    let bytes = 0;
    for (const part of this.split(run)) bytes += this.locate(part).length;
    return bytes;
  }

  /** Where a run of known rows of one file lies. */
  locate(run: Run): FileRange {
    const last = run.first + run.count - 1;
    if (this.layout.isPiece(run.first)) {
      const [from, to] = [this.layout.piece(run.first), this.layout.piece(last)];
      return { file: "index", offset: from.offset, length: to.offset + to.length - from.offset };
    }
    const [from, to] = [this.#frame(run.first), this.#frame(last)];
    return { file: "pack", offset: from.offset, length: to.offset + to.length - from.offset };
  }

  /** A run of known rows, cut at the border between index and pack. */
  split(run: Run): readonly Run[] {
    const border = this.layout.pieceRows;
    const end = run.first + run.count;
    if (run.first >= border || end <= border) return run.count > 0 ? [run] : [];
    return [
      { first: run.first, count: border - run.first },
      { first: border, count: end - border },
    ];
  }

  /** A run of known rows of one file, cut into runs of at most `maxBytes` (one row may be longer). */
  *chunks(run: Run, maxBytes: number): Generator<Run> {
    for (const part of this.split(run)) {
      let first = part.first;
      let bytes = 0;
      for (let row = first; row < part.first + part.count; row++) {
        const length = this.length(row);
        if (bytes > 0 && bytes + length > maxBytes) {
          yield { first, count: row - first };
          first = row;
          bytes = 0;
        }
        bytes += length;
      }
      yield { first, count: part.first + part.count - first };
    }
  }

  /**
   * How many rows from `first` on are exactly `length` bytes of one file; undefined when `length` ends within
   * a row, crosses files, or a row is not known.
   */
  rowsIn(first: number, length: number): number | undefined {
    if (!this.isKnown(first, 1) || length <= 0) return undefined;
    const end = this.layout.isPiece(first) ? this.layout.pieceRows : this.layout.rows;
    let left = length;
    for (let row = first; row < end && left > 0; row++) {
      left -= this.length(row);
      if (left === 0) return row - first + 1;
    }
    return undefined;
  }

  /** Hashes the bytes of one row. */
  check(row: number, bytes: Uint8Array): RowCheck {
    if (this.layout.isPiece(row)) {
      const kind = this.layout.piece(row).kind;
      if (kind === "hashes") return this.#checkHashes(row, bytes);
      if (this.#hashes === undefined) return "unknown";
      return equalBytes(sha256(bytes), this.#hashes.hash(row)) ? "good" : "bad";
    }
    if (this.#frames === undefined) return "unknown";
    const frame = row - this.layout.pieceRows;
    return equalBytes(sha256(bytes), this.#frames.hash(frame)) ? "good" : "bad";
  }

  /** The 64 bytes before the first frame; frames of an opaque pack begin at 0. */
  get packHeaderLength(): number {
    return isOpaquePack(this.head) ? 0 : PACK_HEADER_BYTES;
  }

  // The hashes section is one piece by construction (at most 128 pieces in each of 7 sections, 32 bytes each).
  #checkHashes(row: number, bytes: Uint8Array): RowCheck {
    const run = this.layout.section("hashes");
    if (run === undefined || run.count !== 1 || run.first !== row) return "bad";
    return equalBytes(sha256(bytes), this.head.hashesSha256) ? "good" : "bad";
  }

  #frame(row: number): { readonly offset: number; readonly length: number } {
    const frames = this.#frames;
    const frame = row - this.layout.pieceRows;
    if (frames === undefined || frame >= frames.count)
      throw new Error(`unreachable: row ${row} is not known`);
    return { offset: frames.offset(frame), length: frames.packedLength(frame) };
  }
}
