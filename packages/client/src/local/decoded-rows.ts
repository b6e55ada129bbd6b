import { Bitfield, toHex } from "@ckmesh/core";
import type { ImageRows } from "@ckmesh/store";
import type { ImageSettings } from "../client-context.js";

/** A disk is wanted, and can do with decoded frames where this machine packs otherwise than the publisher. */
export function keepsDecoded(files: ImageRows, { materialize }: Pick<ImageSettings, "materialize">): boolean {
  return materialize !== "off" && files.signed.head.disk !== undefined;
}

/** All that the disk needs is here, some of it decoded: what is missing of the pack comes from peers or not at all. */
export function isForDisk(files: ImageRows, settings: Pick<ImageSettings, "materialize">): boolean {
  return files.isDecoded && keepsDecoded(files, settings);
}

/** Rows of frames that are here decoded only: peers may bring them, the WAN need not. */
export function decodedRows(files: ImageRows): Bitfield {
  const rows = new Bitfield(files.table.layout.rows);
  for (const row of files.decodedRows()) rows.add(row);
  return rows;
}

/** Rows of frames that are here neither packed nor decoded. */
export function missingFrames(files: ImageRows): Bitfield {
  const { have, table } = files;
  const missing = new Bitfield(table.layout.rows);
  for (const run of have.runs(false, table.layout.pieceRows)) missing.addRun(run);
  for (const row of files.decodedRows()) missing.delete(row);
  return missing;
}

/**
 * Takes over frames that an older version has decoded only, and that this one has too: nobody at a site may have
 * them packed. The frame table must be known.
 * @param wanted rows of those that may be taken over
 * @throws {AppError} ERR_STORE_FULL
 */
export async function carryDecoded(
  files: ImageRows,
  older: readonly ImageRows[],
  wanted = missingFrames(files),
): Promise<void> {
  const { frames, table } = files;
  if (frames === undefined) throw new Error("unreachable: frames of an unknown table");
  for (const other of older) {
    // By packed and by raw hash: what is proven there is what is named here.
    const rowOf = new Map<string, number>();
    for (const row of other.decodedRows()) {
      const record = other.frames?.record(row - other.table.layout.pieceRows);
      if (record !== undefined) rowOf.set(toHex(record), row);
    }
    if (rowOf.size === 0) continue;
    for (const { first, count } of wanted.runs()) {
      for (let row = first; row < first + count; row++) {
        const from = rowOf.get(toHex(frames.record(row - table.layout.pieceRows)));
        const raw = from === undefined ? undefined : await other.readDecoded(from);
        if (raw !== undefined) await files.writeDecoded(row, raw);
      }
    }
  }
}
