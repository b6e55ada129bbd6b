import { SECTOR_BYTES } from "../constants.js";
import { FINGERPRINT_BYTES } from "./fingerprint-scan.js";

/** Unique sectors of the base that one entry points to: a bucket of 16 KiB. */
export const BUCKET_SECTORS = 4;
export const BUCKET_BYTES = BUCKET_SECTORS * SECTOR_BYTES;
/** One fingerprint per 256 bytes, while there is room: as many bytes as with 128, a twentieth less time, half the table. */
const MIN_SAMPLE_BITS = 8;
const MAX_SAMPLE_BITS = 16;
/** The most slots: 64 MiB of table, whatever the base. */
const MAX_SLOT_BITS = 24;
const MIN_SLOT_BITS = 10;
/** Share of the slots that fingerprints fill at most: of 0.6 in random slots a quarter is lost. */
const MAX_FILL = 0.6;

/** How a base is fingerprinted; depends on sizes alone. */
export interface FingerprintPlan {
  /** Fingerprints lie at one in 2^`sampleBits` positions. */
  readonly sampleBits: number;
  /** The table has 2^`slotBits` slots. */
  readonly slotBits: number;
  /** Low bits of an entry that tell fingerprints of one slot apart. */
  readonly checkBits: number;
}

/** Fingerprints of pieces of a base: hash and bucket of each. */
export interface BaseFingerprints {
  readonly hashes: Uint32Array;
  readonly buckets: Uint32Array;
}

/**
 * Samples much content more coarsely, so that the table stays below 64 MiB.
 * @param baseSectors unique sectors of the base
 * @param sectors how many of them are fingerprinted
 */
export function planFingerprints(baseSectors: number, sectors: number): FingerprintPlan {
  const bytes = sectors * SECTOR_BYTES;
  let sampleBits = MIN_SAMPLE_BITS;
  while (sampleBits < MAX_SAMPLE_BITS && bytes / 2 ** sampleBits > MAX_FILL * 2 ** MAX_SLOT_BITS)
    sampleBits += 1;
  const wanted = Math.ceil(Math.log2(Math.max(1, (bytes / 2 ** sampleBits) * 2)));
  const slotBits = Math.max(MIN_SLOT_BITS, Math.min(MAX_SLOT_BITS, wanted));
  // An entry is bucket + 1 and check bits; the hash has 32 bits, of which the slot took some.
  const bucketBits = Math.ceil(Math.log2(Math.ceil(baseSectors / BUCKET_SECTORS) + 2));
  return { sampleBits, slotBits, checkBits: Math.min(32 - slotBits, 32 - bucketBits) };
}

/** The bucket of a fingerprint that begins `start` bytes behind the start of a unique sector of the base. */
export function bucketAt(sector: number, start: number): number {
  // The middle of the bytes under it, which may lie across two buckets.
  return Math.floor((sector + Math.floor((start + FINGERPRINT_BYTES / 2) / SECTOR_BYTES)) / BUCKET_SECTORS);
}

/**
 * Where the content of a base lies: a bucket by fingerprint. A slot keeps the largest entry that came, whatever the
 * order, so that the outcome does not depend on it.
 */
export class FingerprintTable {
  readonly plan: FingerprintPlan;
  readonly #slots: Uint32Array;

  /** @param slots 2^`slotBits` words, zero at first; shared when several threads are to look into them */
  constructor(plan: FingerprintPlan, slots: Uint32Array) {
    this.plan = plan;
    this.#slots = slots;
  }

  /**
   * Adds the first `count` fingerprints of a piece of the base. From one thread while no other looks: threads that agree on every slot wait for
   * memory at each of them, which took longer than to read and scan the base.
   */
  add({ hashes, buckets }: BaseFingerprints, count = hashes.length): void {
    const { slotBits, checkBits } = this.plan;
    const slots = this.#slots;
    for (let i = 0; i < count; i += 1) {
      const hash = hashes[i] ?? 0;
      const slot = hash >>> (32 - slotBits);
      const entry = ((((buckets[i] ?? 0) + 1) << checkBits) | checkOf(hash, checkBits)) >>> 0;
      if (entry > (slots[slot] ?? 0)) slots[slot] = entry;
    }
  }

  /**
   * Writes the buckets of those fingerprints that the base has to `buckets`; now and then a wrong one: hints, no
   * proof.
   * @returns how many
   */
  find(hashes: Uint32Array, buckets: Uint32Array): number {
    const { slotBits, checkBits } = this.plan;
    let count = 0;
    for (let i = 0; i < hashes.length; i += 1) {
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
