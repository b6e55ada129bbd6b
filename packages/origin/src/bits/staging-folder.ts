import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, describeError } from "@ckmesh/core";
import { fileErrorCode } from "@ckmesh/store";

/**
 * Makes the staging folder and tries what publishing needs: that a file moves from there into the image folder in one
 * step.
 * @throws {AppError} ERR_CONFIG_INVALID with what to change
 */
export async function prepareStaging(stagingPath: string, root: string): Promise<void> {
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

function invalid(message: string, cause: unknown): AppError {
  return new AppError("ERR_CONFIG_INVALID", message, { cause });
}
