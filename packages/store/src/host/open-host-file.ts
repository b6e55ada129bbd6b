import { closeSync, constants, fstatSync, openSync, type Stats } from "node:fs";
import { fileErrorCode } from "../files/store-error.js";

/** No symbolic link, and no waiting for the other end of a pipe; Windows has neither flag. */
const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** Opens a regular file of the host; undefined for what is gone, locked, not for us or something else. */
export function openHostFile(path: string): { readonly fd: number; readonly stats: Stats } | undefined {
  let fd: number | undefined;
  try {
    fd = openSync(path, FLAGS);
    const stats = fstatSync(fd);
    if (stats.isFile()) return { fd, stats };
  } catch (err) {
    if (fd !== undefined) closeSync(fd);
    if (fileErrorCode(err) === undefined) throw err;
    return undefined;
  }
  closeSync(fd);
  return undefined;
}
