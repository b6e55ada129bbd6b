import { open } from "node:fs/promises";
import { KIB, MIB, seededRandom } from "@ckmesh/core";
import { BLOCK_BYTES, overwrite, REPLACED_EVERY, randomBytes } from "./change-disk.js";
import type { DemoDisk } from "./demo-disk.js";
import type { ChosenFile } from "./file-choice.js";

const NEW_BYTES = 4 * MIB;

/** Without mke2fs: the files one after the other, each on a 4 KiB border, as a raw disk. */
export async function buildRawDisk(
  path: string,
  files: readonly ChosenFile[],
  filler: number,
  signal: AbortSignal,
): Promise<DemoDisk> {
  const disk = await open(path, "wx");
  let at = 0;
  const offsets: number[] = [];
  try {
    for (const file of files) {
      signal.throwIfAborted();
      const source = await open(file.path).catch(() => undefined);
      if (source === undefined) continue;
      try {
        const content = await source.readFile();
        await disk.write(content, 0, content.byteLength, at);
        offsets.push(at);
        at = Math.ceil((at + content.byteLength) / BLOCK_BYTES) * BLOCK_BYTES;
      } finally {
        await source.close();
      }
    }
    for (const random = seededRandom(1), end = at + filler; at < end; at += MIB)
      await disk.write(randomBytes(random, MIB), 0, MIB, at);
    await disk.truncate(Math.ceil((at + 32 * MIB) / MIB) * MIB);
  } finally {
    await disk.close();
  }
  return {
    path,
    kind: "raw",
    update: async () => {
      await overwrite(
        path,
        offsets.filter((_, i) => i % REPLACED_EVERY === 0),
        32 * KIB,
      );
      await overwrite(path, [at], NEW_BYTES);
    },
  };
}
