import { join } from "node:path";
import type { Logger } from "@ckmesh/core";
import {
  type Background,
  type DiskPaths,
  type ImageStore,
  unpackImage,
  type VersionFiles,
} from "@ckmesh/store";
import type { ImageSettings } from "../client-context.js";
import type { MaterializeFormat } from "../config/config-schema.js";
import { isFile } from "../is-file.js";
import { askConsent } from "../rollout/consent-hook.js";
import type { VersionDriver } from "../version/version-driver.js";
import { nearestDisk } from "./nearest-disk.js";

/**
 * Rebuilds the disk of a complete version, which is then staged, and asks the hook.
 * @returns the disk's file name, if there is one; false when the hook does not agree
 * @throws {AppError} as `rebuildDisk`
 */
export async function stageVersion(
  driver: VersionDriver,
  files: VersionFiles,
  store: Pick<ImageStore, "folder" | "background">,
  settings: ImageSettings,
  options: {
    readonly signal: AbortSignal;
    readonly logger: Logger;
    /** All versions of the image: their disks are what the new one may be a clone of. */
    readonly versions: Iterable<VersionDriver>;
  },
): Promise<{ readonly disk: string | undefined } | false> {
  const folder = store.folder(driver.signed.head.name);
  const base = nearestDisk(folder, driver.signed.head, options.versions);
  const disk = await rebuildDisk(folder, files, settings.materialize, {
    ...options,
    background: store.background,
    base,
    proven: driver.disk,
  });
  if (driver.state === "verified") driver.setState("staged", disk);
  if (settings.consentHook === undefined) return { disk };
  const asked = {
    name: driver.signed.head.name,
    version: driver.version,
    pack: files.paths.pack,
    ...(disk !== undefined && { disk: join(folder, disk) }),
  };
  const { logger, signal } = options;
  return (await askConsent(settings.consentHook, asked, { logger, signal })) && { disk };
}

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
async function rebuildDisk(
  folder: string,
  files: VersionFiles,
  format: MaterializeFormat,
  options: {
    readonly signal: AbortSignal;
    readonly logger: Logger;
    readonly proven: string | undefined;
    readonly base: DiskPaths | undefined;
    readonly background: Background;
  },
): Promise<string | undefined> {
  const { head } = files.signed;
  if (options.proven !== undefined && (await isFile(join(folder, options.proven)))) return options.proven;
  if (format === "off" || head.disk === undefined) return undefined;
  const fileName = diskFileName(head.name, head.version, format);
  const outPath = join(folder, fileName);
  const { paths, isComplete } = files;
  const decoded = await files.openDecoded();
  try {
    const { isClone, rebuiltPages } = await unpackImage({
      indexPath: isComplete ? paths.index : paths.indexPartial,
      packPath: isComplete ? paths.pack : paths.packPartial,
      outPath,
      format,
      mode: 0o440,
      replace: true, // one that a crash left behind is not proven
      stamp: true,
      ...(options.base !== undefined && { base: options.base }),
      ...(decoded !== undefined && { decoded: decoded.setup }),
      signal: options.signal,
      background: options.background,
    });
    options.logger.info({ file: fileName, isClone, rebuiltPages }, "disk rebuilt and proven");
    return fileName;
  } finally {
    await decoded?.handle.close();
  }
}
