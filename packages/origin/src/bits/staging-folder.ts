import { randomUUID } from "node:crypto";
import { link, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, describeError, type Logger } from "@ckmesh/core";
import { fileErrorCode } from "@ckmesh/store";
import { isWithoutLinks } from "../uploads/place-files.js";

/**
 * Makes the staging folder and tries what publishing needs: that a file moves from there into the image folder in one
 * step. Warns where files cannot have a second name for a moment, which a crash at that moment would need.
 * @param addName Node's `link`, but in a test
 * @throws {AppError} ERR_CONFIG_INVALID with what to change
 */
export async function prepareStaging(
  stagingPath: string,
  root: string,
  logger: Logger,
  addName: (from: string, to: string) => Promise<void> = link,
): Promise<void> {
  const name = `.ckmesh-staging-${randomUUID()}`;
  const [from, to] = [join(stagingPath, name), join(root, name)];
  try {
    await mkdir(stagingPath, { recursive: true, mode: 0o700 });
    await writeFile(from, "");
  } catch (cause) {
    throw invalid(`bits.stagingPath: cannot write to ${stagingPath}: ${describeError(cause)}`, cause);
  }
  try {
    await rename(from, to);
    if (!(await hasLinks(to, from, addName))) {
      logger.warn(
        { root },
        "this file system has no hard links: if the origin is killed just while a version is placed, that version has to be uploaded again; look for a pack without index or an empty file then",
      );
    }
  } catch (cause) {
    throw fileErrorCode(cause) === "EXDEV"
      ? invalid(
          `bits.stagingPath: ${stagingPath} is on another file system than the images in ${root}, so that nothing can be published in one step: give a folder beside them`,
          cause,
        )
      : invalid(
          `virtualDirectory.physicalPath (--root): uploads cannot be put into ${root}: ${describeError(cause)}; let this account write there, or set bits.BITSUploadEnabled to false`,
          cause,
        );
  } finally {
    await Promise.all([rm(from, { force: true }), rm(to, { force: true })]);
  }
}

async function hasLinks(
  from: string,
  to: string,
  addName: (from: string, to: string) => Promise<void>,
): Promise<boolean> {
  try {
    await addName(from, to);
    return true;
  } catch (err) {
    if (isWithoutLinks(err)) return false;
    throw err;
  }
}

function invalid(message: string, cause: unknown): AppError {
  return new AppError("ERR_CONFIG_INVALID", message, { cause });
}
