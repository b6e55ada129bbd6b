import { type AnyHead, decodeAnyHead, HEAD_BYTES } from "@ckmesh/image";
import { fileSource } from "../files/file-io.js";

/**
 * What an index describes, by its head.
 * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_FILE_DENIED, ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export async function indexKindOf(path: string): Promise<AnyHead["kind"]> {
  const source = await fileSource(path);
  return decodeAnyHead(await source.read(0, Math.min(source.length, HEAD_BYTES))).kind;
}
