import { type Bitfield, equalBytes } from "@ckmesh/core";
import { FRAME_RECORD_BYTES, HASH_BYTES, PAGE_SECTORS, SECTOR_ID_BYTES } from "./constants.js";
import { diskPages, diskSectors } from "./disk-grid.js";
import { FrameTable } from "./frame-table.js";
import type { IndexHead, SectionKind } from "./index-head.js";
import { decodeKept } from "./kept-frames.js";
import type { PieceHashes } from "./piece-hashes.js";
import { RowLayout } from "./row-layout.js";
import { SectorMapCursor } from "./sector-map.js";

/** The index of an older version that lies here whole and verified. */
export interface OldIndex {
  readonly head: IndexHead;
  /** Version id. */
  readonly id: Uint8Array;
  readonly hashes: PieceHashes;
  /** Its sections as far as they are to be used; `frames`, `map` and `pages` matter most. */
  readonly sections: ReadonlyMap<SectionKind, Uint8Array>;
}

/** The index that is being fetched. */
export interface NewIndex {
  readonly head: IndexHead;
  readonly hashes: PieceHashes;
  /** Sections that are here whole and verified by now: the more, the more follows. */
  readonly sections: ReadonlyMap<SectionKind, Uint8Array>;
}

/** A piece row that need not be fetched: its bytes are proven by the hash of its row. */
export interface CarriedPiece {
  readonly row: number;
  readonly bytes: Uint8Array;
}

/**
 * Pieces of a new index that an older one determines, each checked against its hash. Pieces of equal hash
 * carry over at once; with the new `kept` section also the records of kept frames and the ids of their sectors, and with the new `map`
 * the hashes of unchanged pages. Call it again when `kept`, and again when `map` is complete; rows of
 * sections that are in `next.sections` are left out.
 * @throws {AppError} ERR_INDEX_INVALID when the new `kept` or `map` section is damaged
 */
export function carryOverPieces(old: OldIndex, next: NewIndex): readonly CarriedPiece[] {
  const carried = new Map<number, Uint8Array>();
  carryEqualPieces(old, next, carried);
  const kept = keptFrames(old, next);
  if (kept !== undefined) {
    const known = keptRecords(old, kept.bits);
    carryKnown(next, "frames", known, () => true, carried);
    carryKnown(next, "ids", keptIds(old, kept), () => true, carried);
    const pages = unchangedPages(old, next, kept);
    const oldPages = old.sections.get("pages");
    if (pages !== undefined && oldPages !== undefined) {
      const isKnown = (piece: { start: number; end: number }): boolean =>
        pages.subarray(piece.start / HASH_BYTES, piece.end / HASH_BYTES).every((same) => same === 1);
      carryKnown(next, "pages", oldPages, isKnown, carried);
    }
  }
  return [...carried].map(([row, bytes]) => ({ row, bytes })).toSorted((a, b) => a.row - b.row);
}

/** Pieces whose hash and length some piece of the same section of the old index has. */
function carryEqualPieces(old: OldIndex, next: NewIndex, carried: Map<number, Uint8Array>): void {
  const oldRows = new RowLayout(old.head);
  const newRows = new RowLayout(next.head);
  for (const [kind, section] of old.sections) {
    const from = oldRows.section(kind);
    const to = newRows.section(kind);
    if (from === undefined || to === undefined || kind === "hashes" || next.sections.has(kind)) continue;
    const start = old.head.sections.find((s) => s.kind === kind)?.offset ?? 0;
    for (let row = to.first; row < to.first + to.count; row += 1) {
      for (let other = from.first; other < from.first + from.count; other += 1) {
        if (!equalBytes(next.hashes.hash(row), old.hashes.hash(other))) continue;
        const { offset, length } = oldRows.piece(other);
        const bytes = section.subarray(offset - start, offset - start + length);
        if (next.hashes.matches(row, bytes)) carried.set(row, bytes);
        break;
      }
    }
  }
}

/** Offers each piece of a section whose bytes lie in `known` where `isKnown` says so. */
function carryKnown(
  next: NewIndex,
  kind: SectionKind,
  known: Uint8Array,
  isKnown: (piece: { start: number; end: number }) => boolean,
  carried: Map<number, Uint8Array>,
): void {
  const rows = new RowLayout(next.head);
  const run = rows.section(kind);
  if (run === undefined || run.count === 0 || next.sections.has(kind)) return;
  const base = rows.piece(run.first).offset;
  for (let row = run.first; row < run.first + run.count; row += 1) {
    const { offset, length } = rows.piece(row);
    const piece = { start: offset - base, end: offset - base + length };
    if (carried.has(row) || piece.end > known.length || !isKnown(piece)) continue;
    const bytes = known.subarray(piece.start, piece.end);
    if (next.hashes.matches(row, bytes)) carried.set(row, bytes);
  }
}

interface Kept {
  readonly bits: Bitfield;
  readonly oldFrames: FrameTable;
}

/** Which frames of the old version the new one keeps; undefined when it is not known or about another version. */
function keptFrames(old: OldIndex, next: NewIndex): Kept | undefined {
  const section = next.sections.get("kept");
  const frames = old.sections.get("frames");
  const { previous } = next.head;
  if (section === undefined || frames === undefined || previous === undefined) return undefined;
  if (!equalBytes(previous.id, old.id)) return undefined;
  const oldFrames = FrameTable.decode(frames, old.head);
  return { bits: decodeKept(section, next.head, oldFrames.count), oldFrames };
}

/** Part A of the new `frames` section: the old records of the kept frames, in their order. */
function keptRecords(old: OldIndex, kept: Bitfield): Uint8Array {
  const frames = old.sections.get("frames") ?? new Uint8Array(0);
  const known = new Uint8Array(kept.count * FRAME_RECORD_BYTES);
  let at = 0;
  for (const { first, count } of kept.runs()) {
    known.set(frames.subarray(first * FRAME_RECORD_BYTES, (first + count) * FRAME_RECORD_BYTES), at);
    at += count * FRAME_RECORD_BYTES;
  }
  return known;
}

/** Part A of the new `ids` section: the old ids of the kept frames' sectors; empty when the old index has none. */
function keptIds(old: OldIndex, { bits, oldFrames }: Kept): Uint8Array {
  const ids = old.sections.get("ids");
  if (ids === undefined) return new Uint8Array(0);
  const parts = [...bits.runs()].map(({ first, count }) =>
    ids.subarray(
      oldFrames.firstSector(first) * SECTOR_ID_BYTES,
      oldFrames.firstSector(first + count) * SECTOR_ID_BYTES,
    ),
  );
  const known = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    known.set(part, at);
    at += part.length;
  }
  return known;
}

/** 1 for each page of the new disk that shows the same sectors as in the old one; undefined without both maps. */
function unchangedPages(old: OldIndex, next: NewIndex, kept: Kept): Uint8Array | undefined {
  const oldMap = old.sections.get("map");
  const newMap = next.sections.get("map");
  const [oldDisk, newDisk] = [old.head.disk, next.head.disk];
  if (oldMap === undefined || newMap === undefined || oldDisk === undefined || newDisk === undefined)
    return undefined;
  if (oldDisk.gridOffset !== newDisk.gridOffset) return undefined;
  const same = new Uint8Array(diskPages(newDisk)).fill(1);
  // A page that is cut differently at the disk's end is another page.
  if (oldDisk.size !== newDisk.size) same.fill(0, Math.min(diskPages(oldDisk), diskPages(newDisk)) - 1);
  const shift = sectorShifts(kept);
  const before = new SectorMapCursor(oldMap, diskSectors(oldDisk), old.head.counts.sectors);
  const after = new SectorMapCursor(newMap, diskSectors(newDisk), next.head.counts.sectors);
  before.next();
  after.next();
  for (let page = 0; page < same.length; page += 1) {
    const end = (page + 1) * PAGE_SECTORS;
    if (!isSameRuns(before.takeUntil(end), after.takeUntil(end), kept.oldFrames, shift)) same[page] = 0;
  }
  return same;
}

/** By old frame: the number of its first sector in the new version, or -1 when it is not kept. */
function sectorShifts({ bits, oldFrames }: Kept): Int32Array {
  const shift = new Int32Array(oldFrames.count).fill(-1);
  let sector = 0;
  for (let frame = 0; frame < oldFrames.count; frame += 1) {
    if (!bits.has(frame)) continue;
    shift[frame] = sector;
    sector += oldFrames.sectorCount(frame);
  }
  return shift;
}

/** Runs may be cut differently in the two maps, so they are compared sector by sector. */
function isSameRuns(
  before: Float64Array,
  after: Float64Array,
  oldFrames: FrameTable,
  shift: Int32Array,
): boolean {
  const oldSectors = expand(before);
  const newSectors = expand(after);
  for (let i = 0; i < PAGE_SECTORS; i += 1) {
    const was = oldSectors.get(i);
    const is = newSectors.get(i);
    if (was === undefined || is === undefined) {
      if (was !== is) return false;
      continue;
    }
    const frame = oldFrames.frameOf(was);
    const moved = shift[frame] ?? -1;
    if (moved < 0 || moved + was - oldFrames.firstSector(frame) !== is) return false;
  }
  return true;
}

/** Unique sector by place within the page. */
function expand(triples: Float64Array): ReadonlyMap<number, number> {
  const sectors = new Map<number, number>();
  for (let i = 0; i < triples.length; i += 3) {
    const position = triples[i] ?? 0;
    for (let k = 0; k < (triples[i + 1] ?? 0); k += 1) {
      sectors.set((position + k) % PAGE_SECTORS, (triples[i + 2] ?? 0) + k);
    }
  }
  return sectors;
}
