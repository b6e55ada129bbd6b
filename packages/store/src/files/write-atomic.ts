import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { onDisk } from "./store-error.js";

/**
 * Replaces the file `path` by `bytes` so that a crash at any instant leaves the old or the new content, never
 * a mixture: temporary file, fsync, rename, fsync of the folder.
 * @throws {AppError} ERR_STORE_FULL
 */
export async function writeAtomic(path: string, bytes: Uint8Array | string, mode = 0o600): Promise<void> {
  const temporary = `${path}.tmp`;
  await onDisk(path, async () => {
    try {
      const file = await open(temporary, "w", mode);
      try {
        await file.chmod(mode); // Whatever the umask is.
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    } catch (err) {
      await rm(temporary, { force: true });
      throw err;
    }
    await syncFolder(dirname(path));
  });
}

/** Makes renames within a folder durable; Windows has no such call and needs none. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
