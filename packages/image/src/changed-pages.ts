import { equalBytes } from "@ckmesh/core";
import { HASH_BYTES } from "./constants.js";
import type { DiskExtents } from "./disk-extents.js";
import { type DiskShape, diskPages, pageBytes } from "./disk-grid.js";

/** A rebuilt disk: what its pages hash to, and where they lie in its file. */
export interface DiskContent {
  readonly shape: DiskShape;
  /** The `pages` section. */
  readonly pages: Uint8Array;
  readonly extents: DiskExtents;
}

/** Pages of `target`, rising, that the file of `base` does not hold at the same place: the others need no rebuilding. */
export function changedPages(base: DiskContent, target: DiskContent): Uint32Array {
  const total = diskPages(target.shape);
  const isSameGrid = base.shape.gridOffset === target.shape.gridOffset;
  const inBase = isSameGrid ? Math.min(total, diskPages(base.shape)) : 0;
  const changed = new Uint32Array(total);
  let count = 0;
  for (let page = 0; page < total; page += 1) {
    if (page < inBase && isSamePage(base, target, page)) continue;
    changed[count] = page;
    count += 1;
  }
  return changed.slice(0, count);
}

function isSamePage(base: DiskContent, target: DiskContent, page: number): boolean {
  const [from, to] = [page * HASH_BYTES, (page + 1) * HASH_BYTES];
  if (!equalBytes(base.pages.subarray(from, to), target.pages.subarray(from, to))) return false;
  // The last page may be cut differently.
  const { first, length } = pageBytes(target.shape, page);
  if (pageBytes(base.shape, page).length !== length) return false;
  const before = places(base.extents, first, length);
  const after = places(target.extents, first, length);
  return before.length === after.length && before.every((place, i) => place === after[i]);
}

/** Where a stretch of disk lies in its file, as a flat list of disk offset, file offset, bytes. */
function places(extents: DiskExtents, first: number, length: number): readonly number[] {
  const list: number[] = [];
  extents.forEach(first, length, (...place) => {
    list.push(...place);
  });
  return list;
}
