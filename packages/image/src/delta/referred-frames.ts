import { AppError, Bitfield } from "@ckmesh/core";
import type { FrameTable } from "../frame-table.js";
import type { DeltaRefs } from "./delta-refs.js";

/**
 * The frames of a base out of which a delta makes its dictionaries: all that it needs of the base.
 * @param isUsed whether frame `k` of the delta is to be applied at all
 * @throws {AppError} ERR_INDEX_INVALID when the delta names sectors that the base does not have
 */
export function referredFrames(
  refs: DeltaRefs,
  base: Pick<FrameTable, "count" | "sectors" | "frameOf">,
  isUsed: (k: number) => boolean,
): Bitfield {
  if (refs.sectorEnd > base.sectors) {
    const problem = `it names sector ${refs.sectorEnd - 1}, and its base has ${base.sectors}`;
    throw new AppError("ERR_INDEX_INVALID", `the delta does not fit its base: ${problem}`);
  }
  const frames = new Bitfield(base.count);
  for (let k = 0; k < refs.count; k += 1) {
    if (!isUsed(k)) continue;
    for (const { first, count } of refs.runs(k)) {
      const last = base.frameOf(first + count - 1);
      for (let frame = base.frameOf(first); frame <= last; frame += 1) frames.add(frame);
    }
  }
  return frames;
}
