import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, describeError, Fields, type Logger } from "@ckmesh/core";
import { fileErrorCode } from "@ckmesh/store";
import { SavedFile } from "../saved-file.js";

/** What is remembered of a delta that was proven. */
export interface ProvenDelta {
  /** Id of the delta, hexadecimal. */
  readonly id: string;
  /** `pairFingerprint` of the files that were proven. */
  readonly fingerprint: string;
  /** Unix ms of the first time that it was served. */
  readonly servedAt: number;
}

const FILE_NAME = "deltas.json";
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MAX_DELTAS = 200_000;

/** Remembers across restarts which deltas were proven. Only a cache: without it they are applied again. */
export class DeltaRecords {
  readonly #file: SavedFile;
  readonly #proven: Map<string, ProvenDelta>;

  private constructor(path: string, proven: Map<string, ProvenDelta>) {
    this.#proven = proven;
    this.#file = new SavedFile(path, () => JSON.stringify({ proven: Object.fromEntries(this.#proven) }));
  }

  static async load(stateDir: string, logger: Logger): Promise<DeltaRecords> {
    const path = join(stateDir, FILE_NAME);
    try {
      return new DeltaRecords(path, parseRecords(await readFile(path)));
    } catch (err) {
      if (fileErrorCode(err) !== "ENOENT") {
        logger.warn({ path, reason: describeError(err) }, "memory of deltas is not usable, proving anew");
      }
      return new DeltaRecords(path, new Map());
    }
  }

  /** @param key of `deltaKey` */
  proven(key: string): ProvenDelta | undefined {
    return this.#proven.get(key);
  }

  /** Resolves when it is on the disk. */
  async setProven(key: string, delta: ProvenDelta): Promise<void> {
    this.#proven.set(key, delta);
    await this.#file.save();
  }
}

function parseRecords(bytes: Uint8Array): Map<string, ProvenDelta> {
  if (bytes.byteLength > MAX_FILE_BYTES) throw new AppError("ERR_STORE_CORRUPT", "the file is too large");
  const parsed: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  const proven = new Fields(parsed, FILE_NAME, "ERR_STORE_CORRUPT").map("proven");
  const keys = proven.keys();
  if (keys.length > MAX_DELTAS) throw new AppError("ERR_STORE_CORRUPT", "it has too many entries");
  return new Map(
    keys.map((key) => {
      const fields = proven.map(key);
      return [
        key,
        {
          id: fields.string("id", 64),
          fingerprint: fields.string("fingerprint", 300),
          servedAt: fields.int("servedAt", 0, Number.MAX_SAFE_INTEGER),
        },
      ];
    }),
  );
}
