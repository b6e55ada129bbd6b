import { AppError } from "@ckmesh/core";
import {
  FRAME_RECORD_BYTES,
  FRAME_SECTORS,
  HASH_BYTES,
  HEAD_BYTES,
  MAX_CONTAINER_BYTES,
  MAX_MAP_BYTES,
  MAX_PACKED_FRAME_BYTES,
  MAX_ROWS,
  MAX_SECTION_PIECES,
  MIN_PIECE_BYTES,
  PACK_HEADER_BYTES,
  SECTOR_ID_BYTES,
} from "./constants.js";
import { diskPages, diskSectors } from "./disk-grid.js";
import {
  type HeadCommon,
  type IndexHead,
  isOpaquePack,
  type PackFacts,
  SECTION_KINDS,
  type Section,
  type SectionKind,
} from "./index-head.js";

/** Smallest power of two ≥ 64 KiB that cuts `length` bytes into at most 128 pieces. */
function pieceLengthFor(length: number): number {
  let piece = MIN_PIECE_BYTES;
  while (piece * MAX_SECTION_PIECES < length) piece *= 2;
  return piece;
}

export function sectionPieces(section: Pick<Section, "length" | "pieceLength">): number {
  return Math.ceil(section.length / section.pieceLength);
}

/** Lays sections out one after the other behind the head; `hashes` is first and gets its length here. */
export function layOutSections(lengths: ReadonlyMap<SectionKind, number>): readonly Section[] {
  let pieces = 0;
  for (const length of lengths.values())
    pieces += sectionPieces({ length, pieceLength: pieceLengthFor(length) });
  const sections: Section[] = [];
  let offset = HEAD_BYTES;
  for (const kind of SECTION_KINDS) {
    const length = kind === "hashes" ? pieces * HASH_BYTES : lengths.get(kind);
    if (length === undefined) continue;
    sections.push({ kind, offset, length, pieceLength: pieceLengthFor(length) });
    offset += length;
  }
  return sections;
}

/**
 * Checks that everything a head says of sizes adds up, before anybody allocates or fetches by it.
 * @throws {AppError} ERR_INDEX_INVALID
 */
export function checkLayout(head: IndexHead): void {
  const lengths = checkPlaces(head);
  checkKinds(head, lengths);
  checkLengths(head, lengths);
  checkCounts(head);
  const { sectors, kept } = head.counts;
  if (head.disk !== undefined && sectors > diskSectors(head.disk) + kept * FRAME_SECTORS) {
    throw invalid(`${sectors} unique sectors are more than the disk has`);
  }
}

/**
 * Requires that each section is there once and lies where the format puts it; gives their lengths.
 * @throws {AppError} ERR_INDEX_INVALID
 */
export function checkPlaces(head: HeadCommon): ReadonlyMap<SectionKind, number> {
  const lengths = new Map<SectionKind, number>();
  for (const { kind, length } of head.sections) {
    if (lengths.has(kind)) throw invalid(`section ${kind} is there twice`);
    lengths.set(kind, length);
  }
  const expected = layOutSections(new Map([...lengths].filter(([kind]) => kind !== "hashes")));
  for (const [i, section] of head.sections.entries()) {
    const should = expected[i];
    if (
      should?.kind !== section.kind ||
      should.offset !== section.offset ||
      should.length !== section.length ||
      should.pieceLength !== section.pieceLength
    ) {
      throw invalid(`section ${section.kind} does not lie where the format puts it`);
    }
  }
  return lengths;
}

function checkKinds(head: IndexHead, lengths: ReadonlyMap<SectionKind, number>): void {
  const wanted: SectionKind[] = ["hashes", "frames"];
  if (head.disk !== undefined) wanted.push("container", "map", "pages");
  if (head.previous !== undefined) wanted.push("kept");
  // `refs` belongs to deltas.
  requireKinds(lengths, wanted, head.disk === undefined ? [] : ["ids"]);
  if (head.disk === undefined && head.previous !== undefined) {
    throw invalid("an opaque pack has no previous version");
  }
}

/** @throws {AppError} ERR_INDEX_INVALID unless all of `wanted` and at most `optional` besides are there */
export function requireKinds(
  lengths: ReadonlyMap<SectionKind, number>,
  wanted: readonly SectionKind[],
  optional: readonly SectionKind[] = [],
): void {
  for (const kind of wanted) if (!lengths.has(kind)) throw invalid(`section ${kind} is missing`);
  for (const kind of lengths.keys()) {
    if (!wanted.includes(kind) && !optional.includes(kind)) {
      throw invalid(`section ${kind} does not belong in this index`);
    }
  }
}

function checkLengths(head: IndexHead, lengths: ReadonlyMap<SectionKind, number>): void {
  const { frames, sectors, kept } = head.counts;
  const exact = new Map<SectionKind, number>([["frames", frames * FRAME_RECORD_BYTES]]);
  if (head.disk !== undefined) {
    exact.set("pages", diskPages(head.disk) * HASH_BYTES);
    exact.set("ids", sectors * SECTOR_ID_BYTES);
  }
  const most = new Map<SectionKind, number>([
    ["container", MAX_CONTAINER_BYTES],
    ["map", MAX_MAP_BYTES],
    ["kept", Math.ceil(MAX_ROWS / 8)],
  ]);
  requireLengths(lengths, exact, most);
  if (kept > (lengths.get("kept") ?? 0) * 8)
    throw invalid(`${kept} kept frames are more than section kept has bits`);
}

/** @throws {AppError} ERR_INDEX_INVALID unless sections have exactly, or at most, so many bytes */
export function requireLengths(
  lengths: ReadonlyMap<SectionKind, number>,
  exact: ReadonlyMap<SectionKind, number>,
  most: ReadonlyMap<SectionKind, number>,
): void {
  for (const [kind, length] of lengths) {
    const should = exact.get(kind);
    if (should !== undefined && length !== should) {
      throw invalid(`section ${kind} has ${length} bytes; its counts need ${should}`);
    }
    const limit = most.get(kind);
    if (limit !== undefined && length > limit) {
      throw invalid(`section ${kind} has ${length} bytes; the limit is ${limit}`);
    }
  }
}

/**
 * Checks rows, sectors, pack and codecs against the number of frames.
 * @throws {AppError} ERR_INDEX_INVALID
 */
export function checkCounts(head: HeadCommon & PackFacts): void {
  const { frames, sectors, kept } = head.counts;
  const pieces = head.sections.reduce((sum, section) => sum + sectionPieces(section), 0);
  if (pieces + frames > MAX_ROWS) throw invalid(`${pieces + frames} rows; the limit is ${MAX_ROWS}`);
  if (kept > frames) throw invalid(`${kept} kept frames of ${frames}`);
  if (sectors < frames || sectors > frames * FRAME_SECTORS) {
    throw invalid(`${sectors} sectors do not fit ${frames} frames`);
  }
  const isOpaque = isOpaquePack(head);
  const header = isOpaque ? 0 : PACK_HEADER_BYTES;
  if (head.pack.length < header + frames || head.pack.length > header + frames * MAX_PACKED_FRAME_BYTES) {
    throw invalid(`a pack of ${head.pack.length} bytes does not fit ${frames} frames`);
  }
  const { codecs } = head;
  if (frames > 0 && codecs[0]?.firstFrame !== 0) throw invalid("the first codec does not begin at frame 0");
  for (const [i, codec] of codecs.entries()) {
    const before = codecs[i - 1]?.firstFrame ?? -1;
    if (codec.firstFrame <= before || codec.firstFrame >= Math.max(1, frames)) {
      throw invalid("codecs are not in the order of their frames");
    }
    if ((codec.name === "store") !== isOpaque) {
      throw invalid(`codec ${codec.name} does not belong in this index`);
    }
  }
}

function invalid(problem: string): AppError {
  return new AppError("ERR_INDEX_INVALID", `the index head is damaged or was tampered with: ${problem}`);
}
