import { equalBytes } from "@ckmesh/core";
import type { FrameTable } from "../frame-table.js";

const EMPTY = 0;

/**
 * Finds the frames of a version by their hashes. Whoever makes both versions chooses these, so the time is not
 * bounded against an attacker.
 */
export class FrameFinder {
  readonly #table: FrameTable;
  // Open addressing, at most half full: no object per frame.
  readonly #slots: Uint32Array;

  constructor(table: FrameTable) {
    this.#table = table;
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, table.count * 2))));
    const mask = this.#slots.length - 1;
    for (let frame = 0; frame < table.count; frame += 1) {
      let slot = firstWord(table.hash(frame)) & mask;
      while (this.#slots[slot] !== EMPTY) slot = (slot + 1) & mask;
      this.#slots[slot] = frame + 1;
    }
  }

  /** The first frame with this hash; -1: none. */
  find(hash: Uint8Array): number {
    const mask = this.#slots.length - 1;
    let slot = firstWord(hash) & mask;
    let entry = this.#slots[slot] ?? EMPTY;
    while (entry !== EMPTY && !equalBytes(this.#table.hash(entry - 1), hash)) {
      slot = (slot + 1) & mask;
      entry = this.#slots[slot] ?? EMPTY;
    }
    return entry - 1;
  }
}

/** The frames of `target` that `base` does not have, byte for byte: what an update is about. Rising. */
export function framesMissingFrom(base: FrameTable, target: FrameTable): Uint32Array {
  const finder = new FrameFinder(base);
  const missing = new Uint32Array(target.count);
  let count = 0;
  for (let frame = 0; frame < target.count; frame += 1) {
    if (finder.find(target.hash(frame)) !== -1) continue;
    missing[count] = frame;
    count += 1;
  }
  return missing.slice(0, count);
}

/** Hashes are as good as random: their first bytes will do. */
function firstWord(hash: Uint8Array): number {
  return (hash[0] ?? 0) | ((hash[1] ?? 0) << 8) | ((hash[2] ?? 0) << 16) | ((hash[3] ?? 0) << 24);
}
