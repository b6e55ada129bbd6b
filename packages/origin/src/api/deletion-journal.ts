import { lstat, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AppError, describeError, Fields, type Logger } from "@ckmesh/core";
import { fileErrorCode, syncFolder, writeAtomic } from "@ckmesh/store";
import type { FileStamp } from "../catalogue/catalogue.js";

const FILE_NAME = "deletions.json";
/** An image of 10,000 versions with three files each, and much more. */
const MAX_FILES = 100_000;
const MAX_PATH_CHARS = 4096;

/** Remembers which files are to go, so that a deletion that a crash cut short is completed at the next start. */
export class DeletionJournal {
  readonly #path: string;
  readonly #folders: ReadonlySet<string>;
  readonly #logger: Logger;

  /** @param folders the only ones in which files are ever deleted */
  constructor(stateDir: string, folders: readonly string[], logger: Logger) {
    this.#path = join(stateDir, FILE_NAME);
    this.#folders = new Set(folders);
    this.#logger = logger;
  }

  /**
   * Deletes files in their order, or, where that is cut short, sees to it that they are deleted later. A file that is
   * not what its stamp says any more is left alone.
   * @throws {AppError} ERR_FILE_DENIED, ERR_STORE_BUSY; nothing is then left to be done later
   */
  async delete(files: readonly FileStamp[]): Promise<void> {
    try {
      await writeAtomic(this.#path, JSON.stringify({ files }));
      await syncFolder(dirname(this.#path));
    } catch (err) {
      // On a full disk deleting is what helps.
      this.#logger.warn({ reason: describeError(err) }, "a deletion goes on without its journal");
    }
    try {
      await deleteFiles(files);
    } finally {
      await rm(this.#path, { force: true });
    }
  }

  /**
   * Completes what was cut short; call it before anything looks at the folder. Where that fails the versions are
   * published again: nobody was told that they are gone.
   */
  async resume(): Promise<void> {
    try {
      const files = parseJournal(await readFile(this.#path, "utf8"));
      await deleteFiles(files.filter(({ path }) => this.#folders.has(dirname(path))));
      await rm(this.#path);
      this.#logger.warn({ files: files.length }, "a deletion that was cut short is completed");
    } catch (err) {
      if (fileErrorCode(err) === "ENOENT") return;
      this.#logger.error({ err, path: this.#path }, "a deletion that was cut short cannot be completed");
    }
  }
}

async function deleteFiles(files: readonly FileStamp[]): Promise<void> {
  try {
    for (const file of files) {
      // oxlint-disable-next-line no-await-in-loop -- in this order, and the first failure ends it
      if (await isStillThere(file)) await rm(file.path, { force: true });
    }
    const folders = new Set(files.map(({ path }) => dirname(path)));
    await Promise.all([...folders].map(syncFolder));
  } catch (err) {
    throw deletionError(err);
  }
}

/** Where the folder lies is not for those who read the answer. */
function deletionError(cause: unknown): unknown {
  const code = fileErrorCode(cause) ?? "";
  if (["EACCES", "EPERM", "EROFS"].includes(code)) {
    return new AppError("ERR_FILE_DENIED", "the origin's account may not delete files of its image folder", {
      cause,
    });
  }
  if (code !== "EBUSY") return cause;
  return new AppError("ERR_STORE_BUSY", "another program uses a file of this version", { cause });
}

async function isStillThere(file: FileStamp): Promise<boolean> {
  try {
    const { size, mtimeMs, ino } = await lstat(file.path);
    return size === file.size && mtimeMs === file.mtimeMs && ino === file.ino;
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return false;
    throw err;
  }
}

function parseJournal(text: string): readonly FileStamp[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw new AppError("ERR_STORE_CORRUPT", `${FILE_NAME} of the state folder is damaged; remove it`, {
      cause,
    });
  }
  const list = new Fields(parsed, FILE_NAME, "ERR_STORE_CORRUPT").list("files", MAX_FILES);
  return list.map((item) => {
    const fields = new Fields(item, "file", "ERR_STORE_CORRUPT");
    return {
      path: fields.string("path", MAX_PATH_CHARS),
      size: fields.int("size", 0, Number.MAX_SAFE_INTEGER),
      mtimeMs: fields.number("mtimeMs", 0, Number.MAX_VALUE),
      ino: fields.number("ino", 0, Number.MAX_VALUE),
    };
  });
}
