import { AppError } from "@ckmesh/core";

const FULL = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
const FORBIDDEN = new Set(["EACCES", "EPERM", "EROFS"]);

/**
 * The error that a failed file operation on the store stands for: a full disk is ERR_STORE_FULL (what was
 * stored stays and the work can go on once there is room), a folder that may not be written is
 * ERR_CONFIG_INVALID, a read or write fault of the device ERR_STORE_CORRUPT; anything else is passed through.
 */
export function storeError(err: unknown, path: string): unknown {
  const code = fileErrorCode(err);
  if (code === undefined) return err;
  if (FULL.has(code)) {
    return new AppError("ERR_STORE_FULL", `no space left for ${path}: free some, the work then goes on`, {
      cause: err,
    });
  }
  if (FORBIDDEN.has(code)) {
    return new AppError("ERR_CONFIG_INVALID", `${path} may not be written: check its owner and mode`, {
      cause: err,
    });
  }
  if (code === "EIO") {
    return new AppError("ERR_STORE_CORRUPT", `the device of ${path} reports an error: check the disk`, {
      cause: err,
    });
  }
  return err;
}

/** The operating system's name of a file error, such as `ENOENT`; undefined for anything else. */
export function fileErrorCode(err: unknown): string | undefined {
  return err instanceof Error &&
    "code" in err &&
    typeof err.code === "string" &&
    /^E[A-Z0-9]+$/.test(err.code)
    ? err.code
    : undefined;
}

/** Runs a file operation on `path` and translates its errors with {@link storeError}. */
export async function onDisk<T>(path: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (err) {
    throw storeError(err, path);
  }
}
