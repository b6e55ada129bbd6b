import { mkdir } from "node:fs/promises";
import { resolve } from "node:path";
import type { Logger } from "@ckmesh/core";
import {
  type CopiedPair,
  copyPair,
  imageFolder,
  listVersions,
  type PairPaths,
  readRecord,
  versionPaths,
  type WorkOptions,
} from "@ckmesh/store";
import { unknownVersion } from "../image/rollback-target.js";
import { hasArrived, notWhole } from "./why-not-whole.js";

export interface ExportOptions extends Pick<WorkOptions, "onProgress" | "signal"> {
  /** Absent: the newest one that has come. */
  readonly version?: number;
  readonly logger: Logger;
}

/**
 * Copies a complete pair out of a store, proven; works beside a running client.
 * @throws {AppError} ERR_IMAGE_NOT_FOUND, also where the pack is not whole: an older version that is must be asked for,
 *   as nobody expects it; else as `copyPair`
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
  const records = (await readRecord(dir, image, logger)).versions;
  const recordOf = (n: number): (typeof records)[number] | undefined => records.find((r) => r.version === n);
  const found = stored.find((s) =>
    version === undefined ? s.isComplete || hasArrived(recordOf(s.version)) : s.version === version,
  );
  if (found === undefined) throw unknownVersion(image, version);
  const from = versionPaths(imageFolder(dir, image), image, found.version);
  if (!found.isComplete) throw await notWhole(found, recordOf(found.version), from);
  const { pack, index } = versionPaths(out, image, found.version);
  await mkdir(out, { recursive: true });
  const copied = await copyPair({ ...work, from, to: { pack, index } });
  return { version: found.version, pack, index, ...copied };
}
