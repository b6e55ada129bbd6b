import { setImmediate } from "node:timers/promises";
import { equalBytes } from "@ckmesh/core";
import type { FrameTable } from "@ckmesh/image";

/** Which frames of two versions are equal, by frame number; -1: none. One to one. */
export interface FrameMatch {
  readonly targetOf: Int32Array;
  readonly donorOf: Int32Array;
}

type Frames = Pick<FrameTable, "count" | "hash" | "packedLength">;

/** Whoever makes up hashes that collide here gets no match, and costs no more time than others. */
const MAX_PROBES = 64;
/** Frames looked at before others get their turn. */
const TURN_FRAMES = 8192;

/** Finds frames of equal hash and length in two versions, in time that grows with their number only. */
export async function matchFrames(donor: Frames, target: Frames): Promise<FrameMatch> {
  const targetOf = new Int32Array(donor.count).fill(-1);
  const donorOf = new Int32Array(target.count).fill(-1);
  // Open addressing over the target's hashes: no object per frame.
  const mask = 2 ** Math.ceil(Math.log2(Math.max(2, 2 * target.count))) - 1;
  const slots = new Int32Array(mask + 1).fill(-1);
  for (let frame = 0; frame < target.count; frame++) {
    if (frame % TURN_FRAMES === TURN_FRAMES - 1) await setImmediate();
    const start = slotOf(target.hash(frame));
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const at = (start + probe) & mask;
      if ((slots[at] ?? 0) >= 0) continue;
      slots[at] = frame;
      break;
    }
  }
  for (let frame = 0; frame < donor.count; frame++) {
    if (frame % TURN_FRAMES === TURN_FRAMES - 1) await setImmediate();
    const hash = donor.hash(frame);
    const start = slotOf(hash);
    for (let probe = 0; probe < MAX_PROBES; probe++) {
      const found = slots[(start + probe) & mask] ?? -1;
      if (found < 0) break;
      if ((donorOf[found] ?? 0) >= 0 || !equalBytes(target.hash(found), hash)) continue;
      if (target.packedLength(found) !== donor.packedLength(frame)) continue;
      targetOf[frame] = found;
      donorOf[found] = frame;
      break;
    }
  }
  return { targetOf, donorOf };
}

/** Hashes are as good as random: their first bytes will do. */
function slotOf(hash: Uint8Array): number {
  return ((hash[0] ?? 0) << 24) | ((hash[1] ?? 0) << 16) | ((hash[2] ?? 0) << 8) | (hash[3] ?? 0);
}
