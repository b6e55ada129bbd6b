import { equalBytes } from "@ckmesh/core";
import type { FrameTable } from "../frame-table.js";

const EMPTY = 0;

/**
 * The frames of `target` that `base` does not have, byte for byte: what an update is about. Rising. Whoever
 * makes both versions chooses their hashes, so the time is not bounded against an attacker.
 */
export function framesMissingFrom(base: FrameTable, target: FrameTable): Uint32Array {
  // Open addressing over the base's hashes, at most half full: no object per frame.
  const mask = 2 ** Math.ceil(Math.log2(Math.max(2, base.count * 2))) - 1;
  const slots = new Uint32Array(mask + 1);
  for (let frame = 0; frame < base.count; frame += 1) {
    let slot = firstWord(base.hash(frame)) & mask;
    while (slots[slot] !== EMPTY) slot = (slot + 1) & mask;
    slots[slot] = frame + 1;
  }
  const missing = new Uint32Array(target.count);
  let count = 0;
  for (let frame = 0; frame < target.count; frame += 1) {
    const hash = target.hash(frame);
    let slot = firstWord(hash) & mask;
    let entry = slots[slot] ?? EMPTY;
    while (entry !== EMPTY && !equalBytes(base.hash(entry - 1), hash)) {
      slot = (slot + 1) & mask;
      entry = slots[slot] ?? EMPTY;
    }
    if (entry !== EMPTY) continue;
    missing[count] = frame;
    count += 1;
  }
  return missing.slice(0, count);
}

/** Hashes are as good as random: their first bytes will do. */
function firstWord(hash: Uint8Array): number {
  return (hash[0] ?? 0) | ((hash[1] ?? 0) << 8) | ((hash[2] ?? 0) << 16) | ((hash[3] ?? 0) << 24);
}
