import { readFile } from "node:fs/promises";
import { isAppError } from "@ckmesh/core";
import type { IndexHead } from "@ckmesh/image";
import { fileErrorCode } from "../files/store-error.js";
import { ROW_SOURCES, type SourceBytes } from "./row-source.js";
import { RowTable } from "./row-table.js";
import type { VersionPaths } from "./store-layout.js";

/**
 * Rows held and their bytes by source, read from the notes beside a pack without opening it: for a status
 * while no client runs. `bytes` is absent where the sizes of the frames are not known.
 */
export async function storedSourceBytes(
  paths: VersionPaths,
  head: IndexHead,
): Promise<{ readonly rows: number; readonly bytes?: SourceBytes }> {
  const notes = await readOrNone(paths.sources);
  if (notes === undefined) return { rows: 0 };
  const rows = notes.reduce((count, code) => count + (code === 0 ? 0 : 1), 0);
  const table = new RowTable(head);
  try {
    const index = (await readOrNone(paths.index)) ?? (await readOrNone(paths.indexPartial));
    const frames = head.sections.find((s) => s.kind === "frames");
    if (index === undefined || frames === undefined) return { rows };
    table.learnFrames(index.subarray(frames.offset, frames.offset + frames.length));
  } catch (err) {
    if (!isAppError(err)) throw err;
    return { rows }; // the frame table has not come yet
  }
  const totals = new Float64Array(ROW_SOURCES.length + 1);
  for (let row = 0; row < table.layout.rows; row++) {
    const code = notes[row] ?? 0;
    if (code > 0) totals[code] = (totals[code] ?? 0) + table.length(row);
  }
  const [, previous = 0, delta = 0, host = 0, peers = 0, origin = 0] = totals;
  return { rows, bytes: { previous, delta, host, peers, origin } };
}

async function readOrNone(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return undefined;
    throw err;
  }
}
