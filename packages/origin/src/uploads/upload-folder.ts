import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describeError, isAppError, type Logger } from "@ckmesh/core";
import { fileErrorCode, writeAtomic } from "@ckmesh/store";
import { decodeRecord, encodeRecord, type UploadRecord } from "./upload-record.js";

const RECORD = ".json";
const DATA = ".data";

/**
 * The closed uploads on disk: a record each, and a data file until it is published or refused. A record without either
 * end or data file is of a close that a crash cut short: the session is still there.
 */
export class UploadFolder {
  readonly path: string;
  readonly #logger: Logger;

  /** @param path need not exist yet */
  constructor(path: string, logger: Logger) {
    this.path = path;
    this.#logger = logger;
  }

  dataPath(id: string): string {
    return join(this.path, stemOf(id) + DATA);
  }

  /** Every record that counts; what a crash left behind is removed. */
  async load(): Promise<readonly UploadRecord[]> {
    const names = new Set(await listFolder(this.path));
    const records: UploadRecord[] = [];
    for (const name of names) {
      const path = join(this.path, name);
      const stem = name.slice(0, name.lastIndexOf("."));
      if (name.endsWith(RECORD)) {
        const record = await this.#read(path); // oxlint-disable-line no-await-in-loop -- hardly more than a few
        if (record !== undefined && (record.end !== undefined || names.has(stem + DATA))) {
          records.push(record);
          // The end was written, the removal was not.
          if (record.end !== undefined) await rm(join(this.path, stem + DATA), { force: true }); // oxlint-disable-line no-await-in-loop
          continue;
        }
      } else if (name.endsWith(DATA) && names.has(stem + RECORD)) {
        continue;
      }
      await rm(path, { force: true, recursive: true }); // oxlint-disable-line no-await-in-loop
    }
    return records;
  }

  /**
   * Takes a session's data file. The record is written before, so that no crash leaves a file of nobody.
   * @throws {AppError} ERR_STORE_FULL; then the file is where it was
   */
  async adopt(record: UploadRecord, from: string): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    await this.save(record);
    try {
      await rename(from, this.dataPath(record.id));
    } catch (err) {
      await this.forget(record.id);
      throw err;
    }
  }

  /** @throws {AppError} ERR_STORE_FULL */
  async save(record: UploadRecord): Promise<void> {
    await writeAtomic(join(this.path, stemOf(record.id) + RECORD), encodeRecord(record));
  }

  async removeData(id: string): Promise<void> {
    await rm(this.dataPath(id), { force: true });
  }

  async forget(id: string): Promise<void> {
    await this.removeData(id);
    await rm(join(this.path, stemOf(id) + RECORD), { force: true });
  }

  async #read(path: string): Promise<UploadRecord | undefined> {
    try {
      return decodeRecord(await readFile(path, "utf8"));
    } catch (err) {
      if (!isAppError(err)) throw err;
      this.#logger.error({ path, reason: describeError(err) }, "record of an upload is damaged, removing it");
      return undefined;
    }
  }
}

async function listFolder(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return []; // Nothing was ever uploaded.
    throw err;
  }
}

/** File names from an id that the other side knows: nothing of it reaches the file system. */
function stemOf(id: string): string {
  return createHash("sha256").update(id.toLowerCase()).digest("hex").slice(0, 32);
}
