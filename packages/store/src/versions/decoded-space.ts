import { FRAME_BYTES } from "@ckmesh/image";
import { levelOf, usableCodecs } from "../pack/usable-codecs.js";
import { DECODED_HEAD_BYTES } from "./decoded-frames.js";
import type { ImageRows } from "./image-rows.js";

/** Most that a frame takes decoded. */
export const MOST_DECODED_BYTES = DECODED_HEAD_BYTES + FRAME_BYTES;

/** Bytes that these frames of a version take decoded, as rows. Its frame table must be known. */
export function decodedSpace(files: Pick<ImageRows, "frames" | "table">, rows: Iterable<number>): number {
  let bytes = 0;
  for (const row of rows)
    bytes += DECODED_HEAD_BYTES + (files.frames?.rawLength(row - files.table.layout.pieceRows) ?? 0);
  return bytes;
}

/**
 * Bytes that the frames which are missing of a version would take decoded, those that this machine cannot pack as its
 * publisher did. Its frame table must be known.
 */
export function unpackableSpace(
  files: Pick<ImageRows, "frames" | "table" | "have" | "hasDecoded" | "signed">,
): number {
  const codecs = usableCodecs(files.signed.head);
  if (codecs.every(({ level }) => level !== undefined)) return 0;
  const { pieceRows } = files.table.layout;
  const rows: number[] = [];
  for (const { first, count } of files.have.runs(false, pieceRows))
    for (let row = first; row < first + count; row++)
      if (levelOf(codecs, row - pieceRows) === undefined && !files.hasDecoded(row)) rows.push(row);
  return decodedSpace(files, rows);
}
