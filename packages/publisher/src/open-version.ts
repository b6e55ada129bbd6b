import { AppError } from "@ckmesh/core";
import { checkPackHeader, decodeHead, HEAD_BYTES, PACK_HEADER_BYTES } from "@ckmesh/image";
import { FileSource, type UploadSource } from "./upload-source.js";

/** The two files of a version, ready for an upload. */
export interface VersionToUpload {
  readonly name: string;
  readonly version: number;
  /** Version id, lower-case hexadecimal. */
  readonly idHex: string;
  readonly index: UploadSource;
  readonly pack: UploadSource;
}

export interface OpenVersion extends VersionToUpload {
  close(): Promise<void>;
}

const INDEX_SUFFIX = ".index";

/**
 * Opens an index and the pack beside it, and looks whether they belong together; their frames are the origin's to check.
 * @param indexPath `NAME_n.ckm.index`
 * @throws {AppError} ERR_USAGE, ERR_INDEX_INVALID, ERR_PACK_INVALID, ERR_FORMAT_UNSUPPORTED; what the operating system
 *   says of the files
 */
export async function openVersion(indexPath: string): Promise<OpenVersion> {
  if (!indexPath.endsWith(`.ckm${INDEX_SUFFIX}`))
    throw new AppError("ERR_USAGE", `${indexPath} is no index: give NAME_n.ckm.index, its pack beside it`);
  const index = await FileSource.open(indexPath);
  try {
    const signed = decodeHead(await begin(index, HEAD_BYTES));
    const { name, version, pack: facts, disk } = signed.head;
    const packPath = indexPath.slice(0, -INDEX_SUFFIX.length);
    const pack = await FileSource.open(packPath);
    try {
      if (pack.size !== facts.length)
        throw new AppError(
          "ERR_PACK_INVALID",
          `${packPath} has ${pack.size} bytes, its index says ${facts.length}; copy both files again`,
        );
      if (disk !== undefined) checkPackHeader(await begin(pack, PACK_HEADER_BYTES), signed);
    } catch (err) {
      await pack.close();
      throw err;
    }
    return {
      name,
      version,
      idHex: signed.idHex,
      index,
      pack,
      async close() {
        await Promise.all([index.close(), pack.close()]);
      },
    };
  } catch (err) {
    await index.close();
    throw err;
  }
}

/** The first bytes, or all if there are fewer. */
async function begin(source: UploadSource, length: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of source.read(0, Math.min(length, source.size) - 1)) parts.push(part);
  return Buffer.concat(parts);
}
