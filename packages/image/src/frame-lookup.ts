import { randomBytes } from "node:crypto";
import { equalBytes } from "@ckmesh/core";
import type { FrameTable } from "./frame-table.js";

const WORDS = 8;

/**
 * Finds frames by the hash of their packed bytes: open addressing over typed arrays, 8 to 16 bytes per
 * frame. The slots are keyed at random, as the hashes in an index are whatever its author wrote there.
 */
export class FrameLookup {
  readonly #table: FrameTable;
  /** Frame + 1 by slot; 0 is empty. */
  readonly #slots: Uint32Array;
  readonly #keys: readonly number[];

  constructor(table: FrameTable) {
    this.#table = table;
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(4, table.count * 2))));
    const random = randomBytes(WORDS * 4);
    this.#keys = Array.from({ length: WORDS }, (_, i) => random.readUInt32LE(i * 4) | 1);
    for (let i = 0; i < table.count; i += 1) {
      const slot = this.#slot(table.hash(i));
      // Of equal frames the first stands for all.
      if (this.#slots[slot] === 0) this.#slots[slot] = i + 1;
    }
  }

  /** The frame whose packed bytes hash to `hash` (32 bytes); -1 when there is none. */
  find(hash: Uint8Array): number {
    return (this.#slots[this.#slot(hash)] ?? 0) - 1;
  }

  /** The slot of that hash, or the empty one where it would go. */
  #slot(hash: Uint8Array): number {
    const mask = this.#slots.length - 1;
    for (let slot = this.#mix(hash) & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot] ?? 0;
      if (entry === 0 || equalBytes(this.#table.hash(entry - 1), hash)) return slot;
    }
  }

  #mix(hash: Uint8Array): number {
    let mixed = 0;
    for (const [i, key] of this.#keys.entries()) {
      const at = i * 4;
      const word =
        (hash[at] ?? 0) |
        ((hash[at + 1] ?? 0) << 8) |
        ((hash[at + 2] ?? 0) << 16) |
        ((hash[at + 3] ?? 0) << 24);
      mixed = (mixed + Math.imul(word ^ (mixed >>> 15), key)) | 0;
    }
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  }
}
