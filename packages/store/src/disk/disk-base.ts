import { isAppError } from "@ckmesh/core";
import type { DiskContent } from "@ckmesh/image";
import { openIndex } from "../pack/open-index.js";
import { layOutDisk, type UnpackFormat } from "./disk-layout.js";
import { hasStamp } from "./disk-stamp.js";

/** A rebuilt disk and the index of its version. */
export interface DiskPaths {
  readonly indexPath: string;
  readonly diskPath: string;
}

/** A disk that others may be cloned from. */
export interface DiskBase extends DiskContent {
  /** Version id, hex. */
  readonly id: string;
  readonly fileLength: number;
}

/** What a disk holds, if it is as it was when it was proven; undefined if it cannot be a base: one is never needed. */
export async function openDiskBase(
  { indexPath, diskPath }: DiskPaths,
  format: UnpackFormat,
): Promise<DiskBase | undefined> {
  try {
    const index = await openIndex(indexPath);
    const id = index.signed.idHex;
    if (!(await hasStamp(diskPath, { id, format }))) return undefined;
    return { id, ...(await layOutDisk(index, format)), pages: await index.section("pages") };
  } catch (err) {
    if (!isAppError(err)) throw err;
    return undefined; // no index, a damaged one, one of an opaque pack
  }
}
