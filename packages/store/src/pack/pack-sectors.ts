import { AppError, Bitfield } from "@ckmesh/core";
import {
  type DiskShape,
  diskPages,
  diskSectors,
  HASH_BYTES,
  SECTOR_BYTES,
  SectorMapCursor,
  SectorMapWriter,
} from "@ckmesh/image";
import type { ImageWorkers } from "../image-workers.js";
import type { WorkOptions } from "../progress.js";
import type { PreviousVersion } from "../versions/previous-version.js";
import { DiskScan, type Scanned } from "./disk-scan.js";
import type { FrameWriter } from "./frame-writer.js";
import { SectorTable } from "./sector-table.js";

/** Entries that the table makes room for at once: 32 GB of unique data in 40 MB. */
const MAX_EXPECTED_SECTORS = 8_000_000;
const UNNUMBERED = 0xffff_ffff;

/** A packed disk, without its index. */
export interface PackedSectors {
  /** Bytes of the pack. */
  readonly length: number;
  readonly sha256: Uint8Array;
  /** The sections `frames`, `map` and `pages`. */
  readonly frames: Uint8Array;
  readonly map: Uint8Array;
  readonly pages: Uint8Array;
  /** The section `ids`, if it was asked for. */
  readonly ids?: Uint8Array;
  /** Frames of the previous version that were kept; undefined without one. */
  readonly kept?: Bitfield;
  readonly keptBytes: number;
  /** Unique sectors. */
  readonly sectors: number;
  /** Disk sectors that are not all zero. */
  readonly usedSectors: number;
}

export interface SectorsOptions extends WorkOptions {
  /** Makes the section `ids`. */
  readonly trim: boolean;
}

/**
 * Turns a disk into frames. Without a previous version in one pass; with one in two, as only the whole map
 * tells which old frames stay.
 */
export async function packSectors(
  workers: ImageWorkers,
  writer: FrameWriter,
  shape: DiskShape,
  previous: PreviousVersion | undefined,
  options: SectorsOptions,
): Promise<PackedSectors> {
  const scan = new DiskScan(workers, shape);
  const expected = Math.min(MAX_EXPECTED_SECTORS, diskSectors(shape) + (previous?.frames.sectors ?? 0));
  const table = new SectorTable(expected);
  try {
    return previous === undefined
      ? await packFirst(scan, table, writer, options)
      : await packUpdate(scan, table, writer, previous, options);
  } finally {
    // Nothing may write to the file any more when it is discarded.
    await workers.close();
    await writer.settle();
  }
}

async function packFirst(
  scan: DiskScan,
  table: SectorTable,
  writer: FrameWriter,
  options: SectorsOptions,
): Promise<PackedSectors> {
  const map = new SectorMapWriter();
  const pages = new Uint8Array(diskPages(scan.shape) * HASH_BYTES);
  let usedSectors = 0;
  await scan.run(allStretches(scan), options.signal, async (scanned, stretch) => {
    copyPages(pages, scanned, stretch);
    const fresh = new SectorRun(writer, scanned);
    for (let i = 0; i < scanned.count; i += 1) {
      if (scanned.slot.used[i] !== 1) continue;
      usedSectors += 1;
      const known = table.count;
      const sector = table.findOrAdd(scanned.slot.hashes, i);
      map.add(scanned.first + i, sector);
      if (sector === known && !fresh.add(i)) await fresh.begin(i);
    }
    await fresh.end();
    report(options, "pack", scan, stretch);
  });
  const ids = options.trim ? { ids: table.ids(table.count, (number) => number) } : {};
  table.release();
  const pack = await writer.finish();
  return { ...pack, ...ids, map: map.finish(), pages, keptBytes: 0, sectors: table.count, usedSectors };
}

async function packUpdate(
  scan: DiskScan,
  table: SectorTable,
  writer: FrameWriter,
  previous: PreviousVersion,
  options: SectorsOptions,
): Promise<PackedSectors> {
  await previous.hashSectors(table, options);
  const oldSectors = table.count;
  const live = new Bitfield(oldSectors);
  const draft = new SectorMapWriter();
  const pages = new Uint8Array(diskPages(scan.shape) * HASH_BYTES);
  let usedSectors = 0;
  await scan.run(allStretches(scan), options.signal, (scanned, stretch) => {
    copyPages(pages, scanned, stretch);
    for (let i = 0; i < scanned.count; i += 1) {
      if (scanned.slot.used[i] !== 1) continue;
      usedSectors += 1;
      const sector = table.findOrAdd(scanned.slot.hashes, i);
      if (sector < oldSectors) live.add(sector);
      draft.add(scanned.first + i, sector);
    }
    report(options, "pack", scan, stretch);
  });
  const kept = previous.chooseKept(live);
  await previous.copyKept(kept, writer);
  const numbers = numberKept(previous, kept, table.count);
  const renumbered = renumber(scan, draft.finish(), numbers);
  await packNew(scan, table, writer, renumbered, numbers.final, options);
  const { map, sectors } = renumbered;
  const ids = options.trim
    ? { ids: table.ids(sectors, (number) => numbers.final[number] ?? UNNUMBERED) }
    : {};
  table.release();
  const pack = await writer.finish();
  let keptBytes = 0;
  for (const { first, count } of kept.runs()) {
    keptBytes += previous.frames.offset(first + count) - previous.frames.offset(first);
  }
  return { ...pack, ...ids, map, pages, kept, keptBytes, sectors, usedSectors };
}

/** Final numbers of sectors by their number in the table. */
interface Numbers {
  readonly final: Uint32Array;
  /** Sectors in kept frames: those of section A. */
  readonly keptSectors: number;
}

function numberKept(previous: PreviousVersion, kept: Bitfield, sectors: number): Numbers {
  const final = new Uint32Array(sectors).fill(UNNUMBERED);
  let next = 0;
  for (const { first, count } of kept.runs()) {
    const end = previous.frames.firstSector(first + count);
    for (let sector = previous.frames.firstSector(first); sector < end; sector += 1) {
      final[sector] = next;
      next += 1;
    }
  }
  return { final, keptSectors: next };
}

interface Renumbered {
  readonly map: Uint8Array;
  /** Unique sectors in all. */
  readonly sectors: number;
  readonly keptSectors: number;
  /** Stretches of the disk in which a sector of section B appears first. */
  readonly stretches: readonly number[];
}

/** Gives the sectors of section B their numbers in disk order, and writes the map anew. */
function renumber(scan: DiskScan, draft: Uint8Array, { final, keptSectors }: Numbers): Renumbered {
  const cursor = new SectorMapCursor(draft, diskSectors(scan.shape), final.length);
  const map = new SectorMapWriter();
  const stretches: number[] = [];
  let next = keptSectors;
  cursor.next();
  for (let stretch = 0; stretch < scan.stretches; stretch += 1) {
    const before = next;
    const runs = cursor.takeUntil(scan.firstSector(stretch + 1));
    for (let i = 0; i < runs.length; i += 3) {
      for (let k = 0; k < (runs[i + 1] ?? 0); k += 1) {
        const draftSector = (runs[i + 2] ?? 0) + k;
        if (final[draftSector] === UNNUMBERED) {
          final[draftSector] = next;
          next += 1;
        }
        map.add((runs[i] ?? 0) + k, final[draftSector] ?? 0);
      }
    }
    if (next > before) stretches.push(stretch);
  }
  return { map: map.finish(), sectors: next, keptSectors, stretches };
}

/** Reads the sectors of section B again and packs them; a disk that changed meanwhile is noticed. */
async function packNew(
  scan: DiskScan,
  table: SectorTable,
  writer: FrameWriter,
  { keptSectors, stretches, sectors }: Renumbered,
  final: Uint32Array,
  options: WorkOptions,
): Promise<void> {
  let next = keptSectors;
  await scan.run(stretches, options.signal, async (scanned, stretch) => {
    const fresh = new SectorRun(writer, scanned);
    for (let i = 0; i < scanned.count; i += 1) {
      if (scanned.slot.used[i] !== 1) continue;
      const known = table.find(scanned.slot.hashes, i);
      if (known < 0) throw changed();
      if (final[known] !== next) continue;
      next += 1;
      if (!fresh.add(i)) await fresh.begin(i);
    }
    await fresh.end();
    report(options, "compress", scan, stretch);
  });
  if (next !== sectors) throw changed();
}

/** Neighbouring sectors of a stretch that go to the writer together. */
class SectorRun {
  readonly #writer: FrameWriter;
  readonly #data: Uint8Array;
  #first = 0;
  #end = 0;

  constructor(writer: FrameWriter, { slot }: Scanned) {
    this.#writer = writer;
    this.#data = slot.data;
  }

  /** False when sector `i` does not follow the run: then `begin` with it. */
  add(i: number): boolean {
    if (i !== this.#end || this.#first === this.#end) return false;
    this.#end += 1;
    return true;
  }

  /** Writes the run, and begins the next. */
  async begin(i: number): Promise<void> {
    await this.end();
    this.#first = i;
    this.#end = i + 1;
  }

  /** Writes what is left. */
  async end(): Promise<void> {
    let rest = this.#data.subarray(this.#first * SECTOR_BYTES, this.#end * SECTOR_BYTES);
    this.#first = this.#end;
    while (rest.length > 0) {
      if (!this.#writer.hasRoom) await this.#writer.makeRoom();
      rest = rest.subarray(this.#writer.put(rest));
    }
  }
}

function allStretches(scan: DiskScan): Uint32Array {
  return Uint32Array.from({ length: scan.stretches }, (_, i) => i);
}

function copyPages(pages: Uint8Array, { slot }: Scanned, stretch: number): void {
  const at = stretch * slot.pages.length;
  pages.set(slot.pages.subarray(0, Math.min(slot.pages.length, pages.length - at)), at);
}

function report(options: WorkOptions, phase: "pack" | "compress", scan: DiskScan, stretch: number): void {
  options.onProgress?.({ phase, bytesDone: scan.bytesBefore(stretch + 1), bytesTotal: scan.shape.size });
}

function changed(): AppError {
  return new AppError(
    "ERR_DISK_INVALID",
    "the disk changed while it was packed; stop what writes to it, or pack a snapshot",
  );
}
