import { readFile, rm } from "node:fs/promises";
import type { UploadRecord } from "@ckmesh/bits";
import { Fields, isAppError } from "@ckmesh/core";
import { writeAtomic } from "@ckmesh/store";

/** How far the upload of one file came. */
export interface ResumePoint extends UploadRecord {
  /** The session was closed: the server has the file. */
  readonly isClosed: boolean;
}

interface Entry extends ResumePoint {
  /** Of the source. */
  readonly stamp: string;
}

const FORMAT = 1;
const MAX_FILES = 16;
const MAX_TEXT = 4096;
/** Longest text that is taken for such a file, in UTF-16 units. */
const MAX_LENGTH = 64 * 1024;

/** What of an upload survives the end of the program: a small file beside the index, readable by its owner only. */
export class UploadResumeFile {
  readonly #path: string;
  readonly #url: string;
  readonly #entries: Map<string, Entry>;
  #written: Promise<void> = Promise.resolve();

  private constructor(path: string, url: string, entries: Map<string, Entry>) {
    this.#path = path;
    this.#url = url;
    this.#entries = entries;
  }

  /**
   * One that is damaged, or of an upload to another URL, counts as none.
   * @param url of the origin's folder
   * @throws what the operating system says, unless that there is none
   */
  static async open(path: string, url: string): Promise<UploadResumeFile> {
    const text = await readFile(path, "utf8").catch((err: NodeJS.ErrnoException) => {
      if (err.code === "ENOENT") return "";
      throw err;
    });
    return new UploadResumeFile(path, url, decode(text, url));
  }

  /** Where to go on with a file of this URL; undefined: at its beginning. */
  find(fileName: string, stamp: string): ResumePoint | undefined {
    const entry = this.#entries.get(fileName);
    return entry?.stamp === stamp ? entry : undefined;
  }

  /** @param point undefined: there is nothing to go on with */
  async note(fileName: string, stamp: string, point: ResumePoint | undefined): Promise<void> {
    if (point === undefined) this.#entries.delete(fileName);
    else this.#entries.set(fileName, { ...point, stamp });
    // In turn: two writers would share a temporary file.
    this.#written = this.#written.catch(() => {}).then(async () => await this.#write());
    await this.#written;
  }

  /** The upload has come to its end. */
  async remove(): Promise<void> {
    this.#entries.clear();
    await this.#written.catch(() => {});
    await rm(this.#path, { force: true });
  }

  async #write(): Promise<void> {
    const files = Object.fromEntries(this.#entries);
    await writeAtomic(this.#path, `${JSON.stringify({ format: FORMAT, url: this.#url, files })}\n`);
  }
}

function decode(text: string, url: string): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  if (text.length > MAX_LENGTH) return entries;
  try {
    const fields = new Fields(JSON.parse(text), "upload", "ERR_STORE_CORRUPT");
    if (fields.int("format", 0, Number.MAX_SAFE_INTEGER) !== FORMAT || fields.string("url", MAX_TEXT) !== url)
      return entries;
    const files = fields.map("files");
    for (const fileName of files.keys().slice(0, MAX_FILES)) {
      const entry = files.map(fileName);
      entries.set(fileName, {
        stamp: entry.string("stamp", MAX_TEXT),
        sessionId: entry.string("sessionId", MAX_TEXT),
        received: entry.int("received", 0, Number.MAX_SAFE_INTEGER),
        isClosed: entry.boolean("isClosed"),
      });
    }
    return entries;
  } catch (err) {
    if (err instanceof SyntaxError || isAppError(err, "ERR_STORE_CORRUPT")) return new Map();
    throw err;
  }
}
