import { open, stat } from "node:fs/promises";
import { AppError, isAppError } from "@ckmesh/core";
import { hasPackMagic } from "@ckmesh/image";
import { fileError } from "../files/file-error.js";

/**
 * Requires that nothing has that name yet.
 * @param advice what to do instead
 * @throws {AppError} ERR_IMAGE_EXISTS, ERR_FILE_DENIED
 */
export async function refuseExisting(path: string, advice: string): Promise<void> {
  try {
    await stat(path);
  } catch (err) {
    const known = fileError(err, path);
    if (isAppError(known, "ERR_FILE_NOT_FOUND")) return;
    throw known;
  }
  throw new AppError("ERR_IMAGE_EXISTS", `${path} is already there; ${advice}`);
}

/**
 * Requires that a pair has no names yet. A pack of ours alone may be there, which is to be replaced: a kill between
 * the renames of pack and index leaves it, and without its index nobody can use it.
 * @throws {AppError} ERR_IMAGE_EXISTS, ERR_FILE_DENIED
 */
export async function refuseExistingPair(packPath: string, indexPath: string, advice: string): Promise<void> {
  await refuseExisting(indexPath, advice);
  if (!(await isPack(packPath))) await refuseExisting(packPath, advice);
}

async function isPack(path: string): Promise<boolean> {
  const file = await open(path, "r").catch(() => undefined); // not there, or nothing that may be replaced
  if (file === undefined) return false;
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(4), 0, 4, 0);
    return bytesRead === 4 && hasPackMagic(buffer);
  } finally {
    await file.close();
  }
}
