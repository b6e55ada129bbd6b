import { Bitfield, isAppError, type Logger, toHex } from "@ckmesh/core";
import { decodedSpace, type ImageRows } from "@ckmesh/store";
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

export interface CarryOptions {
  /** Rows of those that may be taken over; default: all that are missing. */
  readonly wanted?: Bitfield;
  /** @throws {AppError} ERR_STORE_FULL when there is no room for so many bytes beside all else that is to come */
  readonly requireSpace: (bytes: number) => Promise<void>;
  readonly logger: Logger;
}

/**
 * Takes over frames that an older version has decoded only, and that this one has too: nobody at a site may have
 * them packed. The frame table must be known. Where there is no room for them they come packed.
 * @throws {AppError} ERR_STORE_FULL
 */
export async function carryDecoded(
  files: ImageRows,
  older: readonly ImageRows[],
  { wanted = missingFrames(files), requireSpace, logger }: CarryOptions,
): Promise<void> {
  for (const other of older) {
    const found = commonDecoded(files, other, wanted);
    if (found.size === 0) continue;
    try {
      await requireSpace(decodedSpace(files, found.keys()));
    } catch (err) {
      if (!isAppError(err, "ERR_STORE_FULL")) throw err;
      logger.warn({ err, frames: found.size }, "no room for decoded frames of an older version");
      return;
    }
    for (const [row, from] of found) {
      const raw = await other.readDecoded(from);
      if (raw !== undefined) await files.writeDecoded(row, raw);
    }
  }
}

/** Rows of wanted frames that are not here, and where the other version has them decoded. */
function commonDecoded(files: ImageRows, other: ImageRows, wanted: Bitfield): ReadonlyMap<number, number> {
  const { frames, table } = files;
  if (frames === undefined) throw new Error("unreachable: frames of an unknown table");
  // By packed and by raw hash: what is proven there is what is named here.
  const rowOf = new Map<string, number>();
  for (const row of other.decodedRows()) {
    const record = other.frames?.record(row - other.table.layout.pieceRows);
    if (record !== undefined) rowOf.set(toHex(record), row);
  }
  const found = new Map<number, number>();
  if (rowOf.size === 0) return found;
  for (const { first, count } of wanted.runs()) {
    for (let row = first; row < first + count; row++) {
      const from = rowOf.get(toHex(frames.record(row - table.layout.pieceRows)));
      if (from !== undefined && !files.hasFrames({ first: row, count: 1 })) found.set(row, from);
    }
  }
  return found;
}
