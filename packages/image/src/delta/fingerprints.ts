/** Bytes under one fingerprint: as many as a gear hash of 32 bits remembers. */
export const FINGERPRINT_BYTES = 32;
/** Most fingerprints of one frame: four times what there are on average. More has only content that repeats itself. */
export const MAX_FINGERPRINTS = 2048;
/** Multipliers and increments of MurmurHash3_x86_32 (Austin Appleby, public domain). */
const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;
const C3 = 0xe6546b64;
const F1 = 0x85ebca6b;
const F2 = 0xc2b2ae35;
/** A number as good as random for each byte; those of 0 and 1 too. */
const GEAR = Int32Array.from({ length: 256 }, (_, byte) => finish(Math.imul(byte + 1, C1)));

/**
 * Fingerprints of some bytes; reused from one piece of content to the next.
 *
 * A gear hash (Xia et al., "Ddelta", 2014) of the 32 bytes before a position decides whether there is one, so
 * content that moved by any distance has the fingerprints that it had. One look at a byte and an addition for each
 * position: what all of a base and all new frames have to go through.
 */
export class FingerprintList {
  length = 0;
  /** 32 bits each. */
  readonly hashes = new Uint32Array(MAX_FINGERPRINTS);
  /** Offset of the first byte of each. Rises. */
  readonly starts = new Uint32Array(MAX_FINGERPRINTS);

  /**
   * Takes the fingerprints of about one in 2^`sampleBits` positions, the first 2048 of them.
   * @param sampleBits 1 to 31
   */
  scan(bytes: Uint8Array, sampleBits: number): void {
    const { hashes, starts } = this;
    const shift = 32 - sampleBits;
    const end = bytes.length;
    let count = 0;
    let before = -1;
    let gear = 0;
    for (let at = 0; at < end; at += 1) {
      gear = ((gear << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0;
      if (gear >>> shift !== 0 || at < FINGERPRINT_BYTES - 1) continue;
      const start = at - (FINGERPRINT_BYTES - 1);
      const hash = hashAt(bytes, start);
      // A run of one byte would vote at each position.
      if (hash === before) continue;
      before = hash;
      if (count === MAX_FINGERPRINTS) break;
      hashes[count] = hash;
      starts[count] = start;
      count += 1;
    }
    this.length = count;
  }
}

/** MurmurHash3 of the 32 bytes from `start` on. */
function hashAt(bytes: Uint8Array, start: number): number {
  let hash = 0;
  for (let at = start; at < start + FINGERPRINT_BYTES; at += 4) {
    let word =
      (bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24);
    word = Math.imul(word, C1);
    word = (word << 15) | (word >>> 17);
    hash ^= Math.imul(word, C2);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + C3) | 0;
  }
  return finish(hash ^ FINGERPRINT_BYTES) >>> 0;
}

function finish(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), F1);
  hash = Math.imul(hash ^ (hash >>> 13), F2);
  return hash ^ (hash >>> 16);
}
