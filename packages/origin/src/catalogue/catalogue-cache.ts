import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, describeError, Fields, type Logger } from "@ckmesh/core";
import { SavedFile } from "../saved-file.js";
import { fileKey } from "../serve/served-path.js";

/** What is remembered of a version that was published. */
export interface RememberedVersion {
  /** Version id, hexadecimal: this number never stands for anything else again. */
  readonly id: string;
  /** `pairFingerprint` of the files that were verified. */
  readonly fingerprint: string;
  /** Unix ms of the first publication. */
  readonly publishedAt: number;
}

const FILE_NAME = "catalogue.json";
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MAX_VERSIONS = 200_000;

/**
 * Remembers across restarts which files were verified, and which id each version number has. Only a cache:
 * without it everything in the folder is hashed again.
 */
export class CatalogueCache {
  readonly #versions: Map<string, RememberedVersion>;
  readonly #file: SavedFile;

  private constructor(path: string, versions: Map<string, RememberedVersion>) {
    this.#versions = versions;
    this.#file = new SavedFile(path, () => JSON.stringify({ versions: this.#list() }));
  }

  static async load(stateDir: string, logger: Logger): Promise<CatalogueCache> {
    const path = join(stateDir, FILE_NAME);
    try {
      return new CatalogueCache(path, parseCache(await readFile(path)));
    } catch (err) {
      const isFirstStart = err instanceof Error && "code" in err && err.code === "ENOENT";
      if (!isFirstStart)
        logger.warn({ path, reason: describeError(err) }, "catalogue cache is not usable, hashing anew");
      return new CatalogueCache(path, new Map());
    }
  }

  /** @param key of `fileKey(NAME_n)` */
  get(key: string): RememberedVersion | undefined {
    return this.#versions.get(key);
  }

  /** The highest number that a version of an image ever had here; 0 for none. */
  highest(name: string): number {
    const prefix = `${fileKey(name)}_`;
    let highest = 0;
    for (const key of this.#versions.keys()) {
      if (!key.startsWith(prefix)) continue;
      const digits = key.slice(prefix.length);
      if (/^\d+$/.test(digits)) highest = Math.max(highest, Number(digits));
    }
    return highest;
  }

  /** Remembers and saves; resolves when it is on the disk. */
  set(key: string, version: RememberedVersion): Promise<void> {
    this.#versions.set(key, version);
    return this.#file.save();
  }

  #list(): readonly object[] {
    const list: object[] = [];
    for (const [key, { id, fingerprint, publishedAt }] of this.#versions) {
      list.push({ key, id, fingerprint, publishedAt });
    }
    return list;
  }
}

function parseCache(bytes: Uint8Array): Map<string, RememberedVersion> {
  if (bytes.byteLength > MAX_FILE_BYTES) throw new AppError("ERR_STORE_CORRUPT", "the file is too large");
  const parsed: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  const list = new Fields(parsed, "cache", "ERR_STORE_CORRUPT").list("versions", MAX_VERSIONS);
  return new Map(
    list.map((item) => {
      const fields = new Fields(item, "version", "ERR_STORE_CORRUPT");
      const version = {
        id: fields.string("id", 64),
        fingerprint: fields.string("fingerprint", 300),
        publishedAt: fields.int("publishedAt", 0, Number.MAX_SAFE_INTEGER),
      };
      return [fields.string("key", 1024), version];
    }),
  );
}
