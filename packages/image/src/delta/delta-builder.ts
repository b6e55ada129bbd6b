import type { KeyObject } from "node:crypto";
import { type BuiltIndex, type HeadDraft, joinIndex, proveSections } from "../index-builder.js";
import type { DeltaHead } from "../index-head.js";
import { encodeDeltaHead } from "./delta-head-codec.js";

/** Puts the index of a delta together: hashes all pieces, completes the head, signs it. */
export function buildDeltaIndex(
  head: HeadDraft<DeltaHead>,
  sections: { readonly frames: Uint8Array; readonly refs: Uint8Array },
  signers: readonly KeyObject[],
): BuiltIndex<DeltaHead> {
  const proof = proveSections(
    head,
    new Map([
      ["frames", sections.frames],
      ["refs", sections.refs],
    ]),
  );
  const complete: DeltaHead = { ...head, ...proof.fields };
  return joinIndex(complete, encodeDeltaHead(complete, signers), proof);
}
