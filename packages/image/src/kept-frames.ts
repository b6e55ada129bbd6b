import { AppError, Bitfield } from "@ckmesh/core";
import type { IndexHead } from "./index-head.js";

/**
 * Reads the `kept` section: one bit per frame of the previous version, most significant first.
 * @param previousFrames how many frames the previous version has
 * @throws {AppError} ERR_INDEX_INVALID
 */
export function decodeKept(section: Uint8Array, head: IndexHead, previousFrames: number): Bitfield {
  const kept = Bitfield.from(section, previousFrames);
  // Counted over the whole section, so that bits behind the last frame show.
  const marked = Bitfield.from(section, section.length * 8).count;
  if (
    section.length !== Math.ceil(previousFrames / 8) ||
    marked !== kept.count ||
    kept.count !== head.counts.kept
  ) {
    throw new AppError("ERR_INDEX_INVALID", "section kept does not fit the head or the previous version");
  }
  return kept;
}
