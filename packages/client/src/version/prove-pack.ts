import { isAppError, type Logger } from "@ckmesh/core";
import type { VersionFiles } from "@ckmesh/store";

/**
 * Proves the whole pack of a version of which all rows are held, and gives it its name.
 * @returns `damaged`: rows were damaged meanwhile, and are no longer held
 * @throws {AppError} as `VersionFiles.finish`
 */
export async function provePack(
  files: VersionFiles,
  signal: AbortSignal,
  logger: Logger,
): Promise<"proven" | "stopped" | "damaged"> {
  logger.info({ rows: files.table.layout.rows }, "all rows held");
  try {
    await files.finish({ signal });
    return "proven";
  } catch (err) {
    if (isAppError(err, "ERR_ABORTED")) return "stopped";
    if (!isAppError(err, "ERR_FRAME_HASH_MISMATCH")) throw err;
    logger.warn({ err }, "stored rows were damaged");
    return "damaged";
  }
}
