import { mkdir, realpath, stat } from "node:fs/promises";
import { AppError, describeError } from "@ckmesh/core";

/**
 * The real path of the folder of images.
 * @throws {AppError} ERR_CONFIG_INVALID when it is no folder, or may not be looked at
 */
export async function openRoot(path: string): Promise<string> {
  try {
    const root = await realpath(path);
    if (!(await stat(root)).isDirectory()) throw new AppError("ERR_CONFIG_INVALID", "it is no folder");
    return root;
  } catch (cause) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `virtualDirectory.physicalPath (--root): cannot use ${path}: ${describeError(cause)}`,
      { cause },
    );
  }
}

/**
 * Makes the folder for what the origin remembers, for its own account only.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export async function makeStateDir(path: string): Promise<string> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return path;
  } catch (cause) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `state (--state): cannot make the folder ${path}: ${describeError(cause)}; give a folder that this account may write`,
      { cause },
    );
  }
}
