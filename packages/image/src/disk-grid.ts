import { PAGE_BYTES, SECTOR_BYTES } from "./constants.js";

/** How a disk falls into sectors and pages. */
export interface DiskShape {
  /** Bytes of the virtual disk. */
  readonly size: number;
  /** Disk offset modulo 4096 at which sectors begin, 0 to 4095. */
  readonly gridOffset: number;
}

/** Zero bytes before the disk that make its first sector whole. */
export function gridPad(disk: DiskShape): number {
  return (SECTOR_BYTES - disk.gridOffset) % SECTOR_BYTES;
}

/** Sectors of a disk, the zero-padded first and last ones included. */
export function diskSectors(disk: DiskShape): number {
  return Math.ceil((gridPad(disk) + disk.size) / SECTOR_BYTES);
}

/** Pages of a disk: 256 sectors each, the last one shorter. */
export function diskPages(disk: DiskShape): number {
  return Math.ceil((gridPad(disk) + disk.size) / PAGE_BYTES);
}

/**
 * The disk bytes of one page: `first` in the disk, and `skip`, the padding bytes before them within the
 * page. A page's hash covers these bytes alone, no padding.
 */
export function pageBytes(
  disk: DiskShape,
  page: number,
): { readonly first: number; readonly length: number; readonly skip: number } {
  const pad = gridPad(disk);
  const first = Math.max(0, page * PAGE_BYTES - pad);
  const end = Math.min(disk.size, (page + 1) * PAGE_BYTES - pad);
  return { first, length: end - first, skip: first - (page * PAGE_BYTES - pad) };
}
