import { type DeltaFiles, type ImageRows, MOST_DECODED_BYTES, unpackableSpace } from "@ckmesh/store";
import type { DeltaBase } from "./delta-base.js";
import { deltaBytes } from "./delta-search.js";

/** Bytes that updating by a delta will still take in the store, beside pack and disk of the version. */
export interface DeltaSpace {
  /** Of deltas, and of steps on the way. */
  readonly delta: number;
  /** Of frames that are kept decoded, as this machine cannot pack them. */
  readonly decoded: number;
}

export const NO_DELTA_SPACE: DeltaSpace = { delta: 0, decoded: 0 };

/** @param keepsDecoded of the target, frames that cannot be packed here are kept decoded */
export function deltaSpace(
  delta: Pick<DeltaFiles, "signed" | "bytes">,
  base: Pick<DeltaBase, "spaceNeeded"> | undefined,
  target: ImageRows,
  keepsDecoded: boolean,
): DeltaSpace {
  const { head } = delta.signed;
  const held = Object.values(delta.bytes).reduce((sum, bytes) => sum + bytes, 0);
  const most = keepsDecoded ? head.counts.frames * MOST_DECODED_BYTES : 0;
  return {
    delta: Math.max(0, deltaBytes(head) - held) + (base?.spaceNeeded ?? 0),
    decoded: most === 0 ? 0 : Math.min(most, unpackableSpace(target)),
  };
}
