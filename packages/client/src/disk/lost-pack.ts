import { join } from "node:path";
import { decodeHead, RowLayout } from "@ckmesh/image";
import {
  type ImageStore,
  NO_SOURCE_BYTES,
  provenFormat,
  type ShedPack,
  storedSourceBytes,
  type VersionRecord,
  versionPaths,
} from "@ckmesh/store";
import { isFile } from "../is-file.js";

/**
 * Somebody has removed the pack of the active version, and its disk is as it was proven: then it is as one that was
 * given up for its disk.
 * @returns undefined: the pack is there, in whole or in part, or there is nothing to make it from
 */
export async function lostPack(
  store: Pick<ImageStore, "folder">,
  headBlock: Uint8Array,
  { state, disk }: VersionRecord,
): Promise<ShedPack | undefined> {
  const { head, idHex } = decodeHead(headBlock);
  const folder = store.folder(head.name);
  const paths = versionPaths(folder, head.name, head.version);
  if (state !== "active" || disk === undefined || !(await isFile(paths.index))) return undefined;
  if ((await isFile(paths.pack)) || (await isFile(paths.packPartial))) return undefined;
  const path = join(folder, disk);
  if (!(await isFile(path)) || (await provenFormat(path, idHex)) === undefined) return undefined;
  const { bytes } = await storedSourceBytes(paths, head);
  return { rows: new RowLayout(head).rows, bytes: bytes ?? NO_SOURCE_BYTES };
}
