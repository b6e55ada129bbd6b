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

/** How the making of a delta ended; it is not made again, also when somebody removes it. */
const ENDS = ["made", "needless"] as const;
type DeltaEnd = (typeof ENDS)[number];

/** The alias of an image passes over `version` until the delta that leads to it is there. */
export interface AliasWait {
  readonly name: string;
  readonly version: number;
  /** What the alias stands for meanwhile, and what the delta leads from. */
  readonly from: number;
  /** Unix ms: then the alias moves without it. */
  readonly until: number;
}

interface Remembered {
  /** By `deltaKey`. */
  readonly proven: Map<string, ProvenDelta>;
  /** By `deltaKey`. */
  readonly ended: Map<string, DeltaEnd>;
  readonly waits: readonly AliasWait[];
}

const FILE_NAME = "deltas.json";
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MAX_ENTRIES = 200_000;
const MAX_NUMBER = Number.MAX_SAFE_INTEGER;

/**
 * What an origin remembers of deltas across restarts. Without it they are proven again, those that somebody removed
 * are made again, and no alias waits.
 */
export class DeltaRecords {
  readonly #file: SavedFile;
  readonly #logger: Logger;
  readonly #proven: Map<string, ProvenDelta>;
  readonly #ended: Map<string, DeltaEnd>;
  #waits: readonly AliasWait[];

  private constructor(path: string, { proven, ended, waits }: Remembered, logger: Logger) {
    this.#proven = proven;
    this.#ended = ended;
    this.#waits = waits;
    this.#logger = logger;
    this.#file = new SavedFile(path, () =>
      JSON.stringify({
        proven: Object.fromEntries(this.#proven),
        ended: Object.fromEntries(this.#ended),
        waits: this.#waits,
      }),
    );
  }

  static async load(stateDir: string, logger: Logger): Promise<DeltaRecords> {
    const path = join(stateDir, FILE_NAME);
    try {
      return new DeltaRecords(path, parseRecords(await readFile(path)), logger);
    } catch (err) {
      if (fileErrorCode(err) !== "ENOENT") {
        logger.warn({ path, reason: describeError(err) }, "memory of deltas is not usable, beginning anew");
      }
      return new DeltaRecords(path, { proven: new Map(), ended: new Map(), waits: [] }, logger);
    }
  }

  /** @param key of `deltaKey` */
  proven(key: string): ProvenDelta | undefined {
    return this.#proven.get(key);
  }

  /** @param key of `deltaKey` */
  ended(key: string): DeltaEnd | undefined {
    return this.#ended.get(key);
  }

  get waits(): readonly AliasWait[] {
    return this.#waits;
  }

  async setProven(key: string, delta: ProvenDelta): Promise<void> {
    this.#proven.set(key, delta);
    await this.#save();
  }

  async setEnded(key: string, end: DeltaEnd): Promise<void> {
    this.#ended.set(key, end);
    await this.#save();
  }

  async setWaits(waits: readonly AliasWait[]): Promise<void> {
    this.#waits = waits;
    await this.#save();
  }

  /** Resolves when it is on the disk; where that cannot be, the origin goes on: all of it can be found out again. */
  async #save(): Promise<void> {
    try {
      await this.#file.save();
    } catch (err) {
      this.#logger.error({ err, reason: describeError(err) }, "cannot save what is known of deltas");
    }
  }
}

function parseRecords(bytes: Uint8Array): Remembered {
  if (bytes.byteLength > MAX_FILE_BYTES) throw new AppError("ERR_STORE_CORRUPT", "the file is too large");
  const parsed: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  const fields = new Fields(parsed, FILE_NAME, "ERR_STORE_CORRUPT");
  return {
    proven: parseMap(fields.map("proven"), (proven, key) => {
      const delta = proven.map(key);
      return {
        id: delta.string("id", 64),
        fingerprint: delta.string("fingerprint", 300),
        servedAt: delta.int("servedAt", 0, MAX_NUMBER),
      };
    }),
    ended: parseMap(fields.map("ended"), (ended, key) => ended.oneOf(key, ENDS)),
    waits: fields.list("waits", MAX_ENTRIES).map((item) => {
      const wait = new Fields(item, "wait", "ERR_STORE_CORRUPT");
      return {
        name: wait.string("name", 255),
        version: wait.int("version", 1, MAX_NUMBER),
        from: wait.int("from", 1, MAX_NUMBER),
        until: wait.int("until", 0, MAX_NUMBER),
      };
    }),
  };
}

function parseMap<T>(fields: Fields, parse: (fields: Fields, key: string) => T): Map<string, T> {
  const keys = fields.keys();
  if (keys.length > MAX_ENTRIES) throw new AppError("ERR_STORE_CORRUPT", "it has too many entries");
  return new Map(keys.map((key) => [key, parse(fields, key)]));
}
