import { TemporaryFile } from "./temporary-file.js";

/**
 * Replaces the file `path` by `bytes` so that a crash at any instant leaves the old or the new content, never
 * a mixture: temporary file, fsync, rename, fsync of the folder. Each write has a temporary name of its own, as other
 * processes may use the folder too.
 * @param mode of the file, whatever the umask is
 * @throws {AppError} ERR_STORE_FULL, ERR_FILE_NOT_FOUND when there is no such folder, ERR_FILE_DENIED
 */
export async function writeAtomic(path: string, bytes: Uint8Array | string, mode = 0o600): Promise<void> {
  const file = await TemporaryFile.create(path, mode);
  try {
    await file.write(typeof bytes === "string" ? Buffer.from(bytes) : bytes, 0);
    await file.sync();
    await file.commit(mode);
  } finally {
    await file.discard();
  }
}
