import type { KeyObject } from "node:crypto";
import { sha256 } from "@ckmesh/core";
import {
  type BuiltIndex,
  buildDeltaIndex,
  type DeltaHead,
  DeltaRefsWriter,
  FRAME_RECORD_BYTES,
  HASH_BYTES,
  writeFrameRecord,
} from "../../src/index.js";

/** The head, before its sections are laid out, of a delta with `frames` frames of one sector. */
function deltaDraft(frames = 3): Omit<DeltaHead, "sections" | "hashesSha256"> {
  return {
    name: "Sample",
    version: 7,
    base: { version: 6, id: new Uint8Array(HASH_BYTES).fill(6) },
    target: { version: 7, id: new Uint8Array(HASH_BYTES).fill(7) },
    createdAt: 1_700_000_000,
    requires: [],
    codecs: [{ name: "zstd", level: 3, fingerprint: new Uint8Array(HASH_BYTES).fill(9), firstFrame: 0 }],
    pack: { length: 64 + frames * 50, sha256: new Uint8Array(HASH_BYTES).fill(5) },
    counts: { frames, sectors: frames, kept: 0 },
    secret: new Uint8Array(32).fill(8),
  };
}

/** Fits `sampleIndex` where `content` is left alone: frame k of 50 bytes yields frame 2k of the target, out of two runs of the base. */
export function sampleDelta(
  signers: readonly KeyObject[] = [],
  frames = 3,
  content = "raw",
): BuiltIndex<DeltaHead> {
  const records = new Uint8Array(frames * FRAME_RECORD_BYTES);
  const refs = new DeltaRefsWriter();
  for (let k = 0; k < frames; k += 1) {
    writeFrameRecord(records.subarray(k * FRAME_RECORD_BYTES), {
      packedLength: 50,
      sectors: 1,
      hash: sha256(Buffer.from(`delta ${k}`)),
      rawHash: sha256(Buffer.from(`${content} ${k * 2}`)),
    });
    refs.add(k * 2, [
      { first: k, count: 1 },
      { first: k + 4, count: 4 },
    ]);
  }
  return buildDeltaIndex(deltaDraft(frames), { frames: records, refs: refs.finish() }, signers);
}
