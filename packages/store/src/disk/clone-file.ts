import { constants } from "node:fs";
import { copyFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileErrorCode } from "../files/store-error.js";

/** What systems say where files cannot be cloned: no such file system, two of them, no such call (Windows). */
const NO_CLONES = new Set(["ENOTSUP", "EOPNOTSUPP", "ENOSYS", "ENOTTY", "EXDEV", "EINVAL"]);

/**
 * Makes `target` a clone of `source`: a file of its own that takes no space until one of the two is written
 * (btrfs, XFS, APFS).
 * @returns false where the file system has no clones; there is no `target` then
 */
export async function cloneFile(source: string, target: string): Promise<boolean> {
  try {
    await copyFile(source, target, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (err) {
    if (!NO_CLONES.has(fileErrorCode(err) ?? "")) throw err;
    return false;
  }
}

/** One block of every file system, so that the probe lies in a block of its own. */
const PROBE_BYTES = 64 * 1024;

/** Whether files in `folder` can be cloned there: tries it with a small one. */
export async function canCloneIn(folder: string): Promise<boolean> {
  const source = join(folder, ".clone-probe");
  const target = `${source}.copy`;
  try {
    await rm(target, { force: true });
    await writeFile(source, Buffer.alloc(PROBE_BYTES, 1));
    return await cloneFile(source, target);
  } catch (err) {
    if (fileErrorCode(err) === undefined) throw err;
    return false; // full, or not writable: whoever writes there next says so
  } finally {
    await rm(source, { force: true });
    await rm(target, { force: true });
  }
}
