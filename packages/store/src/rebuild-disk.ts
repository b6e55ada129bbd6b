import { diskPages, HASH_BYTES, type IndexFile, PAGE_BYTES, PAGE_SECTORS } from "@ckmesh/image";
import { PAGES_PER_TASK } from "./image-tasks.js";
import type { ImageWorkers } from "./image-workers.js";
import { runOrdered } from "./ordered-tasks.js";
import { throwIfStopped, type WorkOptions } from "./progress.js";

/**
 * Rebuilds every page of the disk on worker threads and proves it by its hash; where the threads have an out
 * file, the pages are written there.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_STORE_FULL, ERR_ABORTED
 */
export async function rebuildDisk(
  index: IndexFile,
  workers: ImageWorkers,
  options: WorkOptions,
): Promise<void> {
  const { disk } = index.head;
  if (disk === undefined) return;
  const hashes = await index.section("pages");
  const map = await index.map();
  map.next();
  const total = diskPages(disk);
  await runOrdered(
    Math.ceil(total / PAGES_PER_TASK),
    workers.threads * 2,
    async (i) => {
      throwIfStopped(options.signal);
      const firstPage = i * PAGES_PER_TASK;
      const pages = Math.min(PAGES_PER_TASK, total - firstPage);
      // Tasks start in order, so the map is walked once.
      const runs = map.takeUntil((firstPage + pages) * PAGE_SECTORS);
      return await workers.run("rebuild", {
        firstPage,
        pages,
        runs,
        hashes: hashes.slice(firstPage * HASH_BYTES, (firstPage + pages) * HASH_BYTES),
      });
    },
    (_, i) => {
      const bytesDone = Math.min((i + 1) * PAGES_PER_TASK * PAGE_BYTES, disk.size);
      options.onProgress?.({ phase: "rebuild", bytesDone, bytesTotal: disk.size });
    },
  );
}
