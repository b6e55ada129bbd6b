import { AppError, equalBytes } from "@ckmesh/core";
import type { FrameTable } from "../frame-table.js";
import type { DeltaHead, SignedHead } from "../index-head.js";
import type { DeltaRefs } from "./delta-refs.js";

/**
 * Requires that a delta leads from the one version to the other: by name, version and id.
 * @throws {AppError} ERR_INDEX_INVALID
 */
export function checkDeltaEnds(delta: DeltaHead, base: SignedHead, target: SignedHead): void {
  for (const [role, named, { head, id }] of [
    ["base", delta.base, base],
    ["target", delta.target, target],
  ] as const) {
    if (delta.name === head.name && named.version === head.version && equalBytes(named.id, id)) continue;
    throw new AppError(
      "ERR_INDEX_INVALID",
      `the delta does not belong to this ${role}: it names ${delta.name} version ${named.version}, ` +
        `this is ${head.name} version ${head.version}` +
        (named.version === head.version ? " with other content" : ""),
    );
  }
}

/** The parts of a delta, and of the versions at its ends, that must fit each other. */
export interface DeltaParts {
  readonly refs: DeltaRefs;
  readonly frames: FrameTable;
  readonly baseFrames: FrameTable;
  readonly targetFrames: FrameTable;
}

/**
 * Requires that base and target have what the delta names, and that each of its frames yields what the frame
 * of the target holds.
 * @throws {AppError} ERR_INDEX_INVALID
 */
export function checkDeltaFits({ refs, frames, baseFrames, targetFrames }: DeltaParts): void {
  if (refs.sectorEnd > baseFrames.sectors) {
    throw invalid(`it names sector ${refs.sectorEnd - 1}, and its base has ${baseFrames.sectors}`);
  }
  for (let k = 0; k < refs.count; k += 1) {
    const target = refs.targetFrame(k);
    if (target >= targetFrames.count) {
      throw invalid(`it yields frame ${target}, and its target has ${targetFrames.count}`);
    }
    if (
      frames.sectorCount(k) !== targetFrames.sectorCount(target) ||
      !equalBytes(frames.rawHash(k), targetFrames.rawHash(target))
    ) {
      throw invalid(`its frame ${k} yields something else than frame ${target} of its target`);
    }
  }
}

function invalid(problem: string): AppError {
  return new AppError("ERR_INDEX_INVALID", `the delta does not fit its versions: ${problem}`);
}
