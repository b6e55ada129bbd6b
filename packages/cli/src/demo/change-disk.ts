import { open } from "node:fs/promises";
import { KIB, type Random, randomInt, seededRandom } from "@ckmesh/core";

export const BLOCK_BYTES = 4 * KIB;
/** What of the files the second version replaces: every 40th. */
export const REPLACED_EVERY = 40;

/** Writes new bytes at each offset of a disk, in place. */
export async function overwrite(path: string, offsets: readonly number[], length: number): Promise<void> {
  const random = seededRandom(3);
  const disk = await open(path, "r+");
  try {
    for (const offset of offsets) await disk.write(randomBytes(random, length), 0, length, offset);
  } finally {
    await disk.close();
  }
}

/** Repeatable bytes that do not compress. */
export function randomBytes(random: Random, length: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0; i < words.length; i += 1) words[i] = randomInt(random, 2 ** 32);
  return new Uint8Array(words.buffer, 0, length);
}
