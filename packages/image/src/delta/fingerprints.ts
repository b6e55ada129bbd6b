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
  #before = -1;

  /**
   * Takes the fingerprints of about one in 2^`sampleBits` positions, the first 2048 of them. Four bytes are looked at
   * before one question is asked: a quarter of the time of a question for each.
   * @param bytes a multiple of 4, as frames are
   * @param sampleBits 1 to 31
   */
  scan(bytes: Uint8Array, sampleBits: number): void {
    const words = wordsOf(bytes);
    const mask = -1 << (32 - sampleBits);
    this.length = 0;
    this.#before = -1;
    let gear = 0;
    for (let i = 0; i < words.length; i += 1) {
      const word = words[i] ?? 0;
      const a = ((gear << 1) + (GEAR[word & 0xff] ?? 0)) | 0;
      const b = ((a << 1) + (GEAR[(word >>> 8) & 0xff] ?? 0)) | 0;
      const c = ((b << 1) + (GEAR[(word >>> 16) & 0xff] ?? 0)) | 0;
      gear = ((c << 1) + (GEAR[word >>> 24] ?? 0)) | 0;
      if ((a & mask) !== 0 && (b & mask) !== 0 && (c & mask) !== 0 && (gear & mask) !== 0) continue;
      const start = i * 4 - (FINGERPRINT_BYTES - 1);
      if ((a & mask) === 0) this.#add(bytes, start);
      if ((b & mask) === 0) this.#add(bytes, start + 1);
      if ((c & mask) === 0) this.#add(bytes, start + 2);
      if ((gear & mask) === 0) this.#add(bytes, start + 3);
    }
  }

  #add(bytes: Uint8Array, start: number): void {
    if (start < 0 || this.length === MAX_FINGERPRINTS) return;
    const hash = hashAt(bytes, start);
    // A run of one byte would vote at each position.
    if (hash === this.#before) return;
    this.#before = hash;
    this.hashes[this.length] = hash;
    this.starts[this.length] = start;
    this.length += 1;
  }
}

/** The same memory, where that is possible: words begin at multiples of 4. */
function wordsOf(bytes: Uint8Array): Int32Array {
  const { buffer, byteOffset, length } = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Int32Array(buffer, byteOffset, length / 4);
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
