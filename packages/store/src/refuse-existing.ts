import { stat } from "node:fs/promises";
import { AppError, isAppError } from "@ckmesh/core";
import { fileError } from "./file-error.js";

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
