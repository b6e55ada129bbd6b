import { SECTOR_BYTES } from "../constants.js";
import { FINGERPRINT_BYTES, type FingerprintList } from "./fingerprints.js";

/** Unique sectors of the base that one entry points to: a bucket of 16 KiB. */
export const BUCKET_SECTORS = 4;
const BUCKET_BYTES = BUCKET_SECTORS * SECTOR_BYTES;
/** One fingerprint per 128 bytes of a base, while there is room: 0.1 % more bytes than with 64, for half the table. */
const MIN_SAMPLE_BITS = 7;
const MAX_SAMPLE_BITS = 16;
/** The most slots: 64 MiB of table, whatever the base. */
const MAX_SLOT_BITS = 24;
const MIN_SLOT_BITS = 10;
/** Share of the slots that fingerprints fill at most: of 0.6 in random slots a quarter is lost. */
const MAX_FILL = 0.6;

/** How a base is fingerprinted; depends on its size alone. */
export interface FingerprintPlan {
  /** Fingerprints lie at one in 2^`sampleBits` positions. */
  readonly sampleBits: number;
  /** The table has 2^`slotBits` slots. */
  readonly slotBits: number;
  /** Low bits of an entry that tell fingerprints of one slot apart. */
  readonly checkBits: number;
}

/** Samples a large base more coarsely, so that the table stays below 64 MiB. */
export function planFingerprints(baseSectors: number): FingerprintPlan {
  const bytes = baseSectors * SECTOR_BYTES;
  let sampleBits = MIN_SAMPLE_BITS;
  while (sampleBits < MAX_SAMPLE_BITS && bytes / 2 ** sampleBits > MAX_FILL * 2 ** MAX_SLOT_BITS)
    sampleBits += 1;
  const wanted = Math.ceil(Math.log2(Math.max(1, (bytes / 2 ** sampleBits) * 2)));
  const slotBits = Math.max(MIN_SLOT_BITS, Math.min(MAX_SLOT_BITS, wanted));
  // An entry is bucket + 1 and check bits; the hash has 32 bits, of which the slot took some.
  const bucketBits = Math.ceil(Math.log2(Math.ceil(baseSectors / BUCKET_SECTORS) + 2));
  return { sampleBits, slotBits, checkBits: Math.min(32 - slotBits, 32 - bucketBits) };
}

/**
 * Where the content of a base lies: a bucket by fingerprint. Threads fill it together, in shared memory; a
 * slot keeps the largest entry that came, whatever the order, so that the outcome does not depend on it.
 */
export class FingerprintTable {
  readonly plan: FingerprintPlan;
  readonly #slots: Uint32Array;

  /** @param slots 2^`slotBits` shared words, zero at first */
  constructor(plan: FingerprintPlan, slots: Uint32Array) {
    this.plan = plan;
    this.#slots = slots;
  }

  /**
   * Adds the fingerprints of a piece of the base. May be called from several threads at a time.
   * @param firstByte where the piece begins in the unique sectors of the base
   */
  add({ hashes, starts, length }: FingerprintList, firstByte: number): void {
    const { slotBits, checkBits } = this.plan;
    for (let i = 0; i < length; i += 1) {
      const hash = hashes[i] ?? 0;
      // The middle of the bytes under it, which may lie across two buckets.
      const middle = firstByte + (starts[i] ?? 0) + FINGERPRINT_BYTES / 2;
      const bucket = Math.floor(middle / BUCKET_BYTES);
      const slot = hash >>> (32 - slotBits);
      const entry = (((bucket + 1) << checkBits) | checkOf(hash, checkBits)) >>> 0;
      let held = Atomics.load(this.#slots, slot);
      while (entry > held) {
        const found = Atomics.compareExchange(this.#slots, slot, held, entry);
        if (found === held) break;
        held = found;
      }
    }
  }

  /**
   * Writes the buckets of those fingerprints that the base has to `buckets`; now and then a wrong one: hints, no
   * proof.
   * @returns how many
   */
  find({ hashes, length }: FingerprintList, buckets: Uint32Array): number {
    const { slotBits, checkBits } = this.plan;
    let count = 0;
    for (let i = 0; i < length; i += 1) {
      const hash = hashes[i] ?? 0;
      const entry = this.#slots[hash >>> (32 - slotBits)] ?? 0;
      if (entry === 0 || checkOf(entry, checkBits) !== checkOf(hash, checkBits)) continue;
      buckets[count] = (entry >>> checkBits) - 1;
      count += 1;
    }
    return count;
  }
}

/** The lowest bits. `bits` ≤ 22, as there are at least 2^10 slots. */
function checkOf(value: number, bits: number): number {
  return value & ((1 << bits) - 1);
}
