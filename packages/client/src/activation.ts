import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@ckmesh/core";
import { unpackImage, type VersionFiles } from "@ckmesh/store";
import type { MaterializeFormat } from "./config-schema.js";

/** File name of a rebuilt disk. */
function diskFileName(name: string, version: number, format: MaterializeFormat): string {
  return `${name}_${version}.${format === "vhd" ? "vhd" : "img"}`;
}

/**
 * Rebuilds the disk of a complete version beside its pack, each page proven before the file gets its name;
 * read-only for everybody. One that was proven before is not rebuilt.
 * @returns its file name; undefined when there is nothing to rebuild (opaque pack, or switched off)
 * @throws {AppError} ERR_STORE_FULL, ERR_PACK_INVALID, ERR_ABORTED
 */
export async function rebuildDisk(
  folder: string,
  files: VersionFiles,
  format: MaterializeFormat,
  options: { readonly signal: AbortSignal; readonly logger: Logger; readonly proven: string | undefined },
): Promise<string | undefined> {
  const { head } = files.signed;
  if (options.proven !== undefined && (await isFile(join(folder, options.proven)))) return options.proven;
  if (format === "off" || head.disk === undefined) return undefined;
  const fileName = diskFileName(head.name, head.version, format);
  const outPath = join(folder, fileName);
  await unpackImage({
    indexPath: files.paths.index,
    packPath: files.paths.pack,
    outPath,
    format,
    mode: 0o440,
    replace: true, // one that a crash left behind is not proven
    signal: options.signal,
  });
  options.logger.info({ file: fileName }, "disk rebuilt and proven");
  return fileName;
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false; // absent: it is rebuilt
  }
}
