import { constants } from "node:fs";
import { access, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { MIB } from "@ckmesh/core";

/** Larger files would make up too much of the disk. */
const MAX_FILE_BYTES = 24 * MIB;

export interface ChosenFile {
  readonly path: string;
  readonly bytes: number;
}

/**
 * Regular, readable files of this machine, in the order of a sorted walk, until they hold `wantedBytes`; fewer
 * when the machine has not so many. The same machine gives the same files.
 */
export async function chooseFiles(wantedBytes: number, signal: AbortSignal): Promise<readonly ChosenFile[]> {
  const roots = ["/usr/lib", "/usr/share", "/usr/bin", "/Library", dirname(dirname(process.execPath))];
  const chosen: ChosenFile[] = [];
  let bytes = 0;
  for (const root of roots) {
    for await (const file of walk(root)) {
      signal.throwIfAborted();
      if (bytes >= wantedBytes) return chosen;
      chosen.push(file);
      bytes += file.bytes;
    }
  }
  return chosen;
}

async function* walk(folder: string): AsyncGenerator<ChosenFile> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* walk(path);
    if (!entry.isFile()) continue;
    const bytes = await readableBytes(path);
    if (bytes > 0 && bytes <= MAX_FILE_BYTES) yield { path, bytes };
  }
}

/** Size of a file that this account can read; else 0. */
async function readableBytes(path: string): Promise<number> {
  try {
    await access(path, constants.R_OK);
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
