import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import type { Logger } from "@ckmesh/core";
import {
  type CopiedPair,
  copyPair,
  imageFolder,
  listVersions,
  type PairPaths,
  versionPaths,
  type WorkOptions,
} from "@ckmesh/store";
import { unknownVersion } from "../image/rollback-target.js";

export interface ExportOptions extends Pick<WorkOptions, "onProgress" | "signal"> {
  /** Absent: the newest complete one. */
  readonly version?: number;
  readonly logger: Logger;
}

/**
 * Copies a complete pair out of a store, proven; works beside a running client.
 * @throws {AppError} ERR_IMAGE_NOT_FOUND, else as `copyPair`
 */
export async function exportPair(
  storeDir: string,
  image: string,
  outDir: string,
  options: ExportOptions,
): Promise<PairPaths & CopiedPair & { readonly version: number }> {
  const { version, logger, ...work } = options;
  const [dir, out] = [resolve(storeDir), resolve(outDir)];
  const stored = await listVersions(dir, image, logger);
  const found = stored.find((s) => s.isComplete && (version === undefined || s.version === version));
  if (found === undefined) throw unknownVersion(image, version);
  const from = versionPaths(imageFolder(dir, image), image, found.version);
  const { pack, index } = versionPaths(out, image, found.version);
  await mkdir(out, { recursive: true });
  const copied = await copyPair({ ...work, from, to: { pack, index } });
  return { version: found.version, pack, index, ...copied };
}
