import type { Run } from "@ckmesh/core";
import {
  diskPages,
  HASH_BYTES,
  type IndexFile,
  type IndexHead,
  PAGE_BYTES,
  PAGE_SECTORS,
  SECTOR_BYTES,
} from "@ckmesh/image";
import { PAGES_PER_TASK } from "../image-tasks.js";
import type { ImageWorkers } from "../image-workers.js";
import { runOrdered } from "../ordered-tasks.js";
import { throwIfStopped, type WorkOptions } from "../progress.js";

/**
 * Rebuilds pages of the disk on worker threads and proves each by its hash; where the threads have an out file,
 * they are written there.
 * @param wanted the pages, rising; default: all
 * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_STORE_FULL, ERR_ABORTED
 */
export async function rebuildDisk(
  index: IndexFile,
  workers: ImageWorkers,
  options: WorkOptions,
  wanted?: Uint32Array,
): Promise<void> {
  const { disk } = index.head;
  if (disk === undefined) return;
  const hashes = await index.section("pages");
  const map = await index.map();
  map.next();
  const { io } = options.background ?? {};
  const tasks = pageRuns(wanted, diskPages(disk), io === undefined ? PAGES_PER_TASK : PACED_PAGES_PER_TASK);
  const bytesTotal = Math.min((wanted?.length ?? diskPages(disk)) * PAGE_BYTES, disk.size);
  let bytesDone = 0;
  await runOrdered(
    tasks.length,
    workers.threads * 2,
    async (i) => {
      const { first, count } = tasks[i] ?? NO_PAGES;
      // Tasks start in order, so the map is walked once.
      map.skipTo(first * PAGE_SECTORS);
      const runs = map.takeUntil((first + count) * PAGE_SECTORS);
      await io?.admit(bytesMoved(runs, index.head), options.signal);
      throwIfStopped(options.signal);
      return await workers.run("rebuild", {
        firstPage: first,
        pages: count,
        runs,
        hashes: hashes.slice(first * HASH_BYTES, (first + count) * HASH_BYTES),
      });
    },
    (_, i) => {
      bytesDone = Math.min(bytesDone + (tasks[i] ?? NO_PAGES).count * PAGE_BYTES, bytesTotal);
      options.onProgress?.({ phase: "rebuild", bytesDone, bytesTotal });
    },
  );
}

const NO_PAGES: Run = { first: 0, count: 0 };
/** Small steps make an even load. */
const PACED_PAGES_PER_TASK = 1;

/** About what rebuilding pages reads and writes: sectors, or what a clone holds in their place, and their frames. */
function bytesMoved(runs: Float64Array, { pack, counts }: IndexHead): number {
  let sectors = 0;
  for (let i = 1; i < runs.length; i += 3) sectors += runs[i] ?? 0;
  return sectors * (SECTOR_BYTES + pack.length / Math.max(1, counts.sectors));
}

/** Runs of pages that lie side by side, `most` at a time. */
function pageRuns(wanted: Uint32Array | undefined, total: number, most: number): readonly Run[] {
  const runs: Run[] = [];
  const count = wanted?.length ?? total;
  for (let i = 0; i < count; ) {
    const first = wanted?.[i] ?? i;
    let end = i + 1;
    while (end < count && end - i < most && (wanted?.[end] ?? end) === first + end - i) end += 1;
    runs.push({ first, count: end - i });
    i = end;
  }
  return runs;
}
