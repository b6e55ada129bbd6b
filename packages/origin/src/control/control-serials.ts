import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, describeError, Fields, type Logger } from "@ckmesh/core";
import { fileErrorCode, writeAtomic } from "@ckmesh/store";

const FILE_NAME = "controls.json";
const MAX_IMAGES = 200_000;

/**
 * The highest serial that a control record of each image ever had here: clients know it, so nothing below it may come
 * back, whatever is copied into the folder. Only a memory: without it the folder counts.
 */
export class ControlSerials {
  readonly #path: string;
  readonly #serials: Map<string, number>;

  private constructor(path: string, serials: Map<string, number>) {
    this.#path = path;
    this.#serials = serials;
  }

  static async load(stateDir: string, logger: Logger): Promise<ControlSerials> {
    const path = join(stateDir, FILE_NAME);
    try {
      return new ControlSerials(path, parseSerials(await readFile(path, "utf8")));
    } catch (err) {
      if (fileErrorCode(err) !== "ENOENT") {
        logger.warn({ path, reason: describeError(err) }, "memory of control records is not usable");
      }
      return new ControlSerials(path, new Map());
    }
  }

  /** @param key of `fileKey(NAME)`; 0: none was ever seen */
  get(key: string): number {
    return this.#serials.get(key) ?? 0;
  }

  /** Resolves when it is on the disk. */
  async set(key: string, serial: number): Promise<void> {
    if (this.get(key) === serial) return;
    this.#serials.set(key, serial);
    await writeAtomic(this.#path, JSON.stringify({ serials: Object.fromEntries(this.#serials) }));
  }
}

function parseSerials(text: string): Map<string, number> {
  const parsed: unknown = JSON.parse(text);
  const fields = new Fields(parsed, FILE_NAME, "ERR_STORE_CORRUPT").map("serials");
  const keys = fields.keys();
  if (keys.length > MAX_IMAGES) throw new AppError("ERR_STORE_CORRUPT", "it has too many entries");
  return new Map(keys.map((key) => [key, fields.int(key, 1, Number.MAX_SAFE_INTEGER)]));
}
