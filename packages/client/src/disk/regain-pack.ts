import { join } from "node:path";
import { isAppError, type Logger } from "@ckmesh/core";
import { decodeHead } from "@ckmesh/image";
import { provenFormat, restorePack, type VersionFiles, versionPaths } from "@ckmesh/store";
import type { ClientContext } from "../client-context.js";

export interface RegainOptions {
  readonly context: Pick<ClientContext, "store" | "settings">;
  readonly headBlock: Uint8Array;
  /** File name of the rebuilt disk. */
  readonly disk: string;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Makes the pack of a version again, from the disk that it was given up for: whole, or as far as the disk is right.
 * @returns undefined: it is not known in which format the disk is
 * @throws {AppError} ERR_STORE_FULL, ERR_ABORTED, and as `restorePack`
 */
export async function regainPack(options: RegainOptions): Promise<VersionFiles | undefined> {
  const { context, headBlock, disk, logger, signal } = options;
  const { store, settings } = context;
  const { head, idHex } = decodeHead(headBlock);
  const { name, version, pack } = head;
  const folder = store.folder(name);
  const path = join(folder, disk);
  // Not that of today's configuration, which may have been another when the disk was made.
  const format = (await provenFormat(path, idHex)) ?? settings.materialize;
  if (format === "off") return undefined;
  await store.requireSpace(pack.length, `${name} version ${version}, made again`);
  await restorePack(
    versionPaths(folder, name, version),
    { path, format },
    { signal, background: store.background },
  );
  const files = await store.openVersion(name, headBlock);
  try {
    if (files.have.isFull) await files.finish({ signal });
  } catch (err) {
    if (!isAppError(err) || err.code === "ERR_ABORTED") {
      await files.close();
      throw err;
    }
    logger.warn({ err }, "pack made again from its disk not proven");
  }
  if (!files.isComplete)
    logger.warn({ missing: files.have.length - files.have.count }, "pack not whole again");
  return files;
}
