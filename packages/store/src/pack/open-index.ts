import { IndexFile } from "@ckmesh/image";
import { fileSource } from "../files/file-io.js";

/**
 * Opens an index file; its head and hashes are checked.
 * @throws {AppError} ERR_FILE_NOT_FOUND, ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export async function openIndex(path: string): Promise<IndexFile> {
  return await IndexFile.open(await fileSource(path));
}
