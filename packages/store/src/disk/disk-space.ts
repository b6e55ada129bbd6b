import { type Run, rowBlocks, toHex } from "@ckmesh/core";
import {
  changedPages,
  DiskExtents,
  diskPages,
  diskSectors,
  FRAME_BYTES,
  type IndexHead,
  PAGE_SECTORS,
  SECTOR_BYTES,
  type SectionKind,
  SectorMapCursor,
} from "@ckmesh/image";
import type { VersionFiles } from "../versions/version-files.js";
import type { DiskBase } from "./disk-base.js";

/**
 * Bytes that the rebuilt disk of a version takes, by its head alone: what the disk shows in two places counts
 * once.
 * @param base whose disk is cloned
 */
export function estimateDiskBytes(head: IndexHead, base: DiskBase | undefined): number {
  if (head.disk === undefined) return 0;
  const { sectors, frames, kept } = head.counts;
  const isNext = base !== undefined && head.previous !== undefined && toHex(head.previous.id) === base.id;
  return Math.min(head.disk.size, isNext ? (frames - kept) * FRAME_BYTES : sectors * SECTOR_BYTES);
}

/**
 * As `estimateDiskBytes`, by the index: the sectors of all pages that are written.
 * @returns undefined while the sections that say so are not held
 * @throws {AppError} ERR_INDEX_INVALID
 */
export async function countDiskBytes(
  files: Pick<VersionFiles, "signed" | "table" | "have" | "read">,
  base: DiskBase | undefined,
): Promise<number | undefined> {
  const { disk, counts } = files.signed.head;
  const [mapRun, pagesRun] = [heldSection(files, "map"), heldSection(files, "pages")];
  if (disk === undefined || mapRun === undefined || pagesRun === undefined) return undefined;
  const pages = await files.read(pagesRun);
  const extents = DiskExtents.flat(disk.size);
  const written =
    base === undefined
      ? Uint32Array.from({ length: diskPages(disk) }, (_, page) => page)
      : changedPages({ ...base, extents }, { shape: disk, pages, extents });
  rowBlocks.give(pages);
  const map = await files.read(mapRun);
  const cursor = new SectorMapCursor(map, diskSectors(disk), counts.sectors);
  cursor.next();
  let sectors = 0;
  for (const page of written) {
    cursor.skipTo(page * PAGE_SECTORS);
    const runs = cursor.takeUntil((page + 1) * PAGE_SECTORS);
    for (let i = 1; i < runs.length; i += 3) sectors += runs[i] ?? 0;
  }
  rowBlocks.give(map);
  return sectors * SECTOR_BYTES;
}

function heldSection(
  { table, have }: Pick<VersionFiles, "table" | "have">,
  kind: SectionKind,
): Run | undefined {
  const run = table.layout.section(kind);
  return run !== undefined && have.hasAll(run.first, run.count) ? run : undefined;
}
