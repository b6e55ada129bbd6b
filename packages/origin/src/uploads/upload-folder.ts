import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describeError, isAppError, type Logger } from "@ckmesh/core";
import { fileErrorCode, syncFolder, writeAtomic } from "@ckmesh/store";
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
    const kept = new Set<string>();
    for (const name of names) {
      if (!name.endsWith(RECORD)) continue;
      const data = name.slice(0, -RECORD.length) + DATA;
      const record = await this.#read(name); // oxlint-disable-line no-await-in-loop -- hardly more than a few
      // One that the disk does not give may come back with the next start.
      if (record === "unreadable") kept.add(name).add(data);
      if (typeof record !== "object" || (record.end === undefined && !names.has(data))) continue;
      records.push(record);
      kept.add(name);
      // With an end, the file was only not removed any more.
      if (record.end === undefined) kept.add(data);
    }
    for (const name of names) {
      if (!kept.has(name)) await rm(join(this.path, name), { force: true, recursive: true }); // oxlint-disable-line no-await-in-loop
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
    await syncFolder(this.path);
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

  async #read(name: string): Promise<UploadRecord | "damaged" | "unreadable"> {
    try {
      return decodeRecord(await readFile(join(this.path, name), "utf8"));
    } catch (err) {
      const isDamaged = isAppError(err);
      this.#logger.error(
        { file: name, reason: describeError(err) },
        isDamaged ? "record of an upload is damaged, removing it" : "record of an upload cannot be read",
      );
      return isDamaged ? "damaged" : "unreadable";
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
