import { join } from "node:path";
import type { Logger } from "@ckmesh/core";
import { decodeHead } from "@ckmesh/image";
import { restorePack, type VersionFiles, versionPaths } from "@ckmesh/store";
import type { ClientContext } from "./client-context.js";

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
 * @returns undefined: disks are no longer wanted in any format, so it is not known what the disk's is
 * @throws {AppError} ERR_STORE_FULL, ERR_ABORTED, and as `restorePack`
 */
export async function regainPack(options: RegainOptions): Promise<VersionFiles | undefined> {
  const { context, headBlock, disk, logger, signal } = options;
  const { store, settings } = context;
  const { name, version, pack } = decodeHead(headBlock).head;
  const { materialize: format } = settings;
  if (format === "off") return undefined;
  const folder = store.folder(name);
  await store.requireSpace(pack.length, `${name} version ${version}, made again`);
  await restorePack(versionPaths(folder, name, version), { path: join(folder, disk), format }, { signal });
  const files = await store.openVersion(name, headBlock);
  if (files.have.isFull) await files.finish({ signal });
  else logger.warn({ missing: files.have.length - files.have.count }, "pack not whole again");
  return files;
}
