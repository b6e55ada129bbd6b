import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "@ckmesh/core";
import { deltaIndexFileName, deltaPackFileName, indexFileName, packFileName } from "@ckmesh/image";
import { fileErrorCode } from "@ckmesh/store";

/** Pack and index of one version together. */
export interface PublishedSize {
  readonly publishedBytes: number;
}

/**
 * Compares pack and index of two versions in every store with those in `root`, byte for byte.
 * @returns their sizes
 * @throws {AppError} ERR_STORE_CORRUPT naming the first file that differs
 */
export async function assertSameFiles(
  root: string,
  stores: readonly string[],
  image: string,
  versions: readonly [number, number],
): Promise<readonly [PublishedSize, PublishedSize]> {
  const [first, second] = versions;
  return [await compare(root, stores, image, first), await compare(root, stores, image, second)];
}

/** Bytes of the delta between two versions, pack and index; undefined when the origin has none. */
export async function deltaBytes(
  root: string,
  image: string,
  version: number,
  from: number,
): Promise<number | undefined> {
  const names = [deltaPackFileName(image, version, from), deltaIndexFileName(image, version, from)];
  try {
    const stats = await Promise.all(names.map(async (name) => await stat(join(root, name))));
    return stats.reduce((sum, { size }) => sum + size, 0);
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return undefined;
    throw err;
  }
}

async function compare(
  root: string,
  stores: readonly string[],
  image: string,
  version: number,
): Promise<PublishedSize> {
  let publishedBytes = 0;
  for (const name of [packFileName(image, version), indexFileName(image, version)]) {
    const original = join(root, name);
    publishedBytes += (await stat(original)).size;
    const wanted = await hashFile(original);
    for (const store of stores) {
      const copy = join(store, "images", image, name);
      if ((await hashFile(copy)) !== wanted)
        throw new AppError("ERR_STORE_CORRUPT", `${copy} differs from what the origin serves`);
    }
  }
  return { publishedBytes };
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
}
