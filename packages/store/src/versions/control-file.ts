import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { AppError, Fields, isAppError, type Logger } from "@ckmesh/core";
import { fileErrorCode } from "../files/store-error.js";
import { writeAtomic } from "../files/write-atomic.js";

/** The control record of an image as this machine obeys it, also without its origin. */
export interface StoredControl {
  /** As the origin served it; absent: it never had one. */
  readonly bytes?: Uint8Array;
  /** Of these bytes. */
  readonly etag?: string;
  /** Versions whose rollout the origin said that it holds. */
  readonly held: readonly number[];
}

const FILE = "control.json";
/** 64 KiB in base64. */
const MAX_BASE64 = 87_384;
const MAX_HELD = 64;
const NONE: StoredControl = { held: [] };

/** Writes it into the folder of the image, atomically. */
export async function saveControl(folder: string, { bytes, etag, held }: StoredControl): Promise<void> {
  const record = bytes === undefined ? undefined : Buffer.from(bytes).toString("base64");
  await writeAtomic(join(folder, FILE), `${JSON.stringify({ format: 1, etag, held, record })}\n`);
}

/** Reads it; a damaged one is put aside and counts as none: the next check brings it again. */
export async function loadControl(folder: string, logger: Logger): Promise<StoredControl> {
  const path = join(folder, FILE);
  try {
    return parseControl(await readFile(path, "utf8"));
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return NONE;
    if (!isAppError(err, "ERR_STORE_CORRUPT")) throw err;
    logger.warn({ err, file: path }, "control record is damaged and was put aside");
    await rename(path, `${path}.damaged`);
    return NONE;
  }
}

/** @throws {AppError} ERR_STORE_CORRUPT */
function parseControl(text: string): StoredControl {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("ERR_STORE_CORRUPT", "the control record is no JSON", { cause });
  }
  const f = new Fields(value, "control", "ERR_STORE_CORRUPT");
  f.int("format", 1, 1);
  return {
    ...(f.has("record") && { bytes: Buffer.from(f.string("record", MAX_BASE64), "base64") }),
    ...(f.has("etag") && { etag: f.string("etag", 1024) }),
    held: f.list("held", MAX_HELD).filter((each): each is number => Number.isSafeInteger(each)),
  };
}
