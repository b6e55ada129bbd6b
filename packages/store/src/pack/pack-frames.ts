import { sha256 } from "@ckmesh/core";
import {
  FRAME_BYTES,
  FRAME_RECORD_BYTES,
  FRAME_SECTORS,
  SECTOR_BYTES,
  writeFrameRecord,
} from "@ckmesh/image";
import type { PackTask } from "../image-tasks.js";
import type { FrameCodec } from "./codec.js";

/** Packs the sectors of a batch into frames of 16, the last one shorter; returns their packed bytes in all. */
export function packFrames(codec: FrameCodec, { batch, sectors }: PackTask): number {
  let length = 0;
  for (let frame = 0; frame * FRAME_SECTORS < sectors; frame += 1) {
    const count = Math.min(FRAME_SECTORS, sectors - frame * FRAME_SECTORS);
    const raw = batch.raw.subarray(frame * FRAME_BYTES, frame * FRAME_BYTES + count * SECTOR_BYTES);
    const packed = codec.pack(raw);
    batch.packed.set(packed, length);
    length += packed.length;
    writeFrameRecord(batch.records.subarray(frame * FRAME_RECORD_BYTES), {
      packedLength: packed.length,
      sectors: count,
      hash: sha256(packed),
      rawHash: sha256(raw),
    });
  }
  return length;
}
