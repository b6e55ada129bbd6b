import { SECTOR_ID_BYTES } from "@ckmesh/image";

/** Entries of one block of hash storage. */
const BLOCK_ENTRIES = 65_536;
/** Words kept of a hash: 16 bytes, so that nobody can make two sectors pass for equal. */
const WORDS = 4;
/** Words between hashes in what comes in (SHA-256). */
const STRIDE = 8;
const MAX_LOAD = 0.85;
const EMPTY = 0;

/**
 * Numbers sectors by their hash: 16 bytes per entry in blocks, plus 5 to 8 bytes of slots (open addressing).
 * No object per sector, and no Map, which ends at 2^24 entries.
 */
export class SectorTable {
  #blocks: Uint32Array[] = [];
  /** Number + 1. */
  #slots: Uint32Array;
  #count = 0;

  /** @param expected about how many entries will come; growing beyond costs a moment and memory */
  constructor(expected: number) {
    this.#slots = new Uint32Array(Math.max(1024, Math.ceil(expected / MAX_LOAD)));
  }

  /** Numbers given so far. */
  get count(): number {
    return this.#count;
  }

  /** The number of the hash at `entry` of `hashes` (8 words each); -1 when it is not there. */
  find(hashes: Uint32Array, entry: number): number {
    return (this.#slots[this.#slot(hashes, entry * STRIDE)] ?? EMPTY) - 1;
  }

  /** The number of that hash; a new one, which is the old `count`, when it was not there. */
  findOrAdd(hashes: Uint32Array, entry: number): number {
    const slot = this.#slot(hashes, entry * STRIDE);
    const found = this.#slots[slot] ?? EMPTY;
    return found === EMPTY ? this.#add(hashes, entry * STRIDE, slot) : found - 1;
  }

  /** Gives the next number to that hash in any case; of equal hashes the first is found later. */
  append(hashes: Uint32Array, entry: number): void {
    const slot = this.#slot(hashes, entry * STRIDE);
    this.#add(hashes, entry * STRIDE, this.#slots[slot] === EMPTY ? slot : -1);
  }

  /**
   * The section `ids` of `sectors` sectors: the first 6 bytes of each hash, at the place that `placeOf` gives to
   * its number; numbers with a place beyond are left out.
   */
  ids(sectors: number, placeOf: (number: number) => number): Uint8Array {
    const ids = new Uint8Array(sectors * SECTOR_ID_BYTES);
    for (let number = 0; number < this.#count; number += 1) {
      const place = placeOf(number);
      const block = this.#blocks[Math.floor(number / BLOCK_ENTRIES)];
      if (place >= sectors || block === undefined) continue;
      const start = (number % BLOCK_ENTRIES) * WORDS * 4;
      const hash = new Uint8Array(block.buffer, block.byteOffset + start, SECTOR_ID_BYTES);
      ids.set(hash, place * SECTOR_ID_BYTES);
    }
    return ids;
  }

  /** Frees the memory; nothing is found any more, `count` stays. */
  release(): void {
    this.#blocks = [];
    this.#slots = new Uint32Array(1);
  }

  #add(hashes: Uint32Array, at: number, slot: number): number {
    const number = this.#count;
    const block = Math.floor(number / BLOCK_ENTRIES);
    this.#blocks[block] ??= new Uint32Array(BLOCK_ENTRIES * WORDS);
    this.#blocks[block].set(hashes.subarray(at, at + WORDS), (number % BLOCK_ENTRIES) * WORDS);
    this.#count += 1;
    if (slot >= 0) this.#slots[slot] = number + 1;
    if (this.#count > this.#slots.length * MAX_LOAD) this.#grow();
    return number;
  }

  #slot(hashes: Uint32Array, at: number): number {
    const w0 = hashes[at] ?? 0;
    const w1 = hashes[at + 1] ?? 0;
    const w2 = hashes[at + 2] ?? 0;
    const w3 = hashes[at + 3] ?? 0;
    const slots = this.#slots;
    // The hash is uniform already: scaled to the number of slots, which need not be a power of two.
    for (let slot = Math.floor((w0 / 2 ** 32) * slots.length); ; slot += 1) {
      if (slot === slots.length) slot = 0;
      const entry = slots[slot] ?? EMPTY;
      if (entry === EMPTY) return slot;
      const block = this.#blocks[Math.floor((entry - 1) / BLOCK_ENTRIES)];
      const base = ((entry - 1) % BLOCK_ENTRIES) * WORDS;
      if (
        block?.[base] === w0 &&
        block[base + 1] === w1 &&
        block[base + 2] === w2 &&
        block[base + 3] === w3
      ) {
        return slot;
      }
    }
  }

  #grow(): void {
    this.#slots = new Uint32Array(Math.ceil(this.#slots.length * 1.5));
    const padded = new Uint32Array(WORDS);
    for (let number = 0; number < this.#count; number += 1) {
      const base = (number % BLOCK_ENTRIES) * WORDS;
      padded.set(this.#blocks[Math.floor(number / BLOCK_ENTRIES)]?.subarray(base, base + WORDS) ?? []);
      const slot = this.#slot(padded, 0);
      if (this.#slots[slot] === EMPTY) this.#slots[slot] = number + 1;
    }
  }
}
