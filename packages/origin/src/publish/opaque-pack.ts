import { createHash, createHmac, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@ckmesh/core";
import { hasIndexMagic, hasPackMagic, indexFileName } from "@ckmesh/image";
import { writeAtomic } from "@ckmesh/store";
import type { FileStamp } from "../catalogue/catalogue.js";
import type { FolderPair } from "./folder-scan.js";

const MAGIC_BYTES = 4;
const KEY_BYTES = 32;

/** `half`: one of our packs, whose index is still to come. */
export type PairKind = "ours" | "foreign" | "half";

/** Tells by their first bytes whether files are ours; a `.ckm` that is not travels as an opaque pack. */
export async function pairKind(pair: FolderPair): Promise<PairKind> {
  const isOurPack = pair.pack === undefined || hasPackMagic(await firstBytes(pair.pack.path));
  if (pair.pack === undefined || pair.index === undefined) return isOurPack ? "half" : "foreign";
  return isOurPack || (await isOurIndex(pair.index.path)) ? "ours" : "foreign";
}

/** SHA-256 of a file, hexadecimal. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) if (chunk instanceof Uint8Array) hash.update(chunk);
  return hash.digest("hex");
}

export async function stampOf(path: string): Promise<FileStamp> {
  const { size, mtimeMs, ino } = await lstat(path);
  return { path, size, mtimeMs, ino };
}

/** Where our indexes of foreign packs lie, and the key that their secrets come from. */
export class OpaqueIndexes {
  readonly folder: string;
  readonly #key: Uint8Array;

  private constructor(folder: string, key: Uint8Array) {
    this.folder = folder;
    this.#key = key;
  }

  /** @throws {AppError} ERR_STORE_CORRUPT when the key file is damaged */
  static async open(stateDir: string): Promise<OpaqueIndexes> {
    const folder = join(stateDir, "opaque");
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return new OpaqueIndexes(folder, await loadKey(join(folder, "secret.key")));
  }

  pathOf(name: string, version: number): string {
    return join(this.folder, indexFileName(name, version));
  }

  /** Of a version's swarm; always the same, so that indexing the same pack again gives the same version id. */
  secretOf(name: string, version: number): Uint8Array {
    return createHmac("sha256", this.#key).update(`${name}_${version}`).digest();
  }
}

async function loadKey(path: string): Promise<Uint8Array> {
  try {
    const key = await readFile(path);
    if (key.byteLength === KEY_BYTES * 2) return Buffer.from(key.toString("latin1"), "hex");
    throw new AppError(
      "ERR_STORE_CORRUPT",
      `${path} must hold ${KEY_BYTES * 2} characters; remove it to make a new one`,
    );
  } catch (err) {
    if (!(err instanceof Error && "code" in err && err.code === "ENOENT")) throw err;
    const key = randomBytes(KEY_BYTES);
    await writeAtomic(path, key.toString("hex"));
    return key;
  }
}

/** True for one of our indexes, whatever is wrong with it. */
export async function isOurIndex(path: string): Promise<boolean> {
  return hasIndexMagic(await firstBytes(path));
}

async function firstBytes(path: string): Promise<Uint8Array> {
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
