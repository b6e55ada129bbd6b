import { AppError } from "@ckmesh/core";
import type { ByteSource } from "./byte-source.js";
import { HEAD_BYTES } from "./constants.js";
import type { HeadCommon, SectionKind, SignedHead } from "./index-head.js";
import { PieceHashes } from "./piece-hashes.js";
import { RowLayout } from "./row-layout.js";

/** An index, of an image or a delta, behind a reader; sections are proven when they are read. */
export class SectionFile<H extends HeadCommon> {
  readonly signed: SignedHead<H>;
  readonly head: H;
  readonly layout: RowLayout;
  readonly hashes: PieceHashes;
  readonly #source: ByteSource;

  constructor(source: ByteSource, { signed, hashes }: OpenedHead<H>) {
    this.#source = source;
    this.signed = signed;
    this.head = signed.head;
    this.layout = new RowLayout(signed.head);
    this.hashes = hashes;
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
}

/** A head and the proof of everything behind it. */
export interface OpenedHead<H extends HeadCommon> {
  readonly signed: SignedHead<H>;
  readonly hashes: PieceHashes;
}

/**
 * Reads and checks the head and section `hashes` of an index.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export async function openHead<H extends HeadCommon>(
  source: ByteSource,
  decode: (head: Uint8Array) => SignedHead<H>,
): Promise<OpenedHead<H>> {
  const signed = decode(await source.read(0, Math.min(source.length, HEAD_BYTES)));
  const length = indexLength(signed.head);
  if (source.length !== length) {
    throw new AppError("ERR_INDEX_INVALID", `the index has ${source.length} bytes, its head says ${length}`);
  }
  const own = signed.head.sections.find(({ kind }) => kind === "hashes");
  const section = await source.read(own?.offset ?? 0, own?.length ?? 0);
  return { signed, hashes: new PieceHashes(section, signed.head) };
}

/** Bytes of the whole index that a head describes. */
export function indexLength(head: Pick<HeadCommon, "sections">): number {
  const last = head.sections.at(-1);
  return last === undefined ? HEAD_BYTES : last.offset + last.length;
}
