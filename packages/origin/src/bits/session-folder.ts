import { type FileHandle, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileErrorCode } from "@ckmesh/store";
import type { FileStamp } from "../catalogue/catalogue.js";
import { stampOf } from "../publish/opaque-pack.js";
import { decodeRecord, encodeRecord, type SessionRecord } from "./session-record.js";

/** The folder of one session: `record.json`, `data`, and `reply` where a program answered. Its name is the id. */
export class SessionFolder {
  readonly path: string;

  constructor(staging: string, id: string) {
    this.path = join(staging, id);
  }

  get dataPath(): string {
    return join(this.path, "data");
  }

  get replyPath(): string {
    return join(this.path, "reply");
  }

  /** The record comes last: a folder without one is a session that nobody was told of. */
  async create(record: SessionRecord): Promise<void> {
    await mkdir(this.path, { mode: 0o700 });
    try {
      await (await open(this.dataPath, "wx", 0o600)).close();
      await this.write(record);
    } catch (err) {
      await this.remove();
      throw err;
    }
  }

  /** A process kill at any instant leaves the old record or the new one. */
  async write(record: SessionRecord): Promise<void> {
    const temporary = join(this.path, "record.tmp");
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(encodeRecord(record));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, this.#recordPath);
  }

  /**
   * Undefined where there is none.
   * @throws {Error} for one that is damaged
   */
  async read(): Promise<SessionRecord | undefined> {
    try {
      return decodeRecord(await readFile(this.#recordPath, "utf8"));
    } catch (err) {
      if (fileErrorCode(err) === "ENOENT") return undefined;
      throw err;
    }
  }

  /** Bytes and time (Unix ms) of the data; undefined when the file is gone. */
  async dataFacts(): Promise<{ readonly size: number; readonly changedAt: number } | undefined> {
    const stamp = await stampIfThere(this.dataPath);
    return stamp === undefined ? undefined : { size: stamp.size, changedAt: stamp.mtimeMs };
  }

  /** Undefined when there is no reply, or a program took it away again. */
  replyStamp(): Promise<FileStamp | undefined> {
    return stampIfThere(this.replyPath);
  }

  openData(): Promise<FileHandle> {
    return open(this.dataPath, "r+");
  }

  /** Puts on the disk what was written. */
  async flushData(): Promise<void> {
    const file = await this.openData();
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  /** Record first: what is left by a crash is no session any more. */
  async remove(): Promise<void> {
    await rm(this.#recordPath, { force: true });
    await rm(this.path, { recursive: true, force: true });
  }

  get #recordPath(): string {
    return join(this.path, "record.json");
  }
}

async function stampIfThere(path: string): Promise<FileStamp | undefined> {
  try {
    return await stampOf(path);
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return undefined;
    throw err;
  }
}
