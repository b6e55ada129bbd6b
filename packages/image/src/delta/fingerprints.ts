/** Bytes under one fingerprint. */
export const FINGERPRINT_BYTES = 32;
/** Two words at the start of a fingerprint tell whether there is one. */
const WORD_BYTES = 4;
/** log2 of `WORD_BYTES`: of that many positions, a base is looked at in one. */
const WORD_BITS = 2;
/** Multipliers and increments of MurmurHash3_x86_32 (Austin Appleby, public domain). */
const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;
const C3 = 0xe6546b64;
const F1 = 0x85ebca6b;
const F2 = 0xc2b2ae35;
/** So that zeros are not chosen. */
const NOT_ZEROS = 0x9e3779b9;

/**
 * Fingerprints of some bytes; reused from one piece of content to the next.
 *
 * Eight bytes decide whether a fingerprint of 32 bytes begins with them. A base, of which all is read, is looked
 * at in one of four positions, and for that four times as many eight bytes are chosen; a frame that is compared
 * with it is looked at everywhere. So content that moved by any distance finds its old fingerprints, and scanning
 * a base takes a quarter of the time.
 */
export class FingerprintList {
  length = 0;
  /** 32 bits each. */
  readonly hashes: Uint32Array;
  /** Offset of the first byte of each. Rises. */
  readonly starts: Uint32Array;

  /** @param maxBytes longest content */
  constructor(maxBytes: number) {
    this.hashes = new Uint32Array(maxBytes);
    this.starts = new Uint32Array(maxBytes);
  }

  /**
   * Takes one fingerprint of about 2^`sampleBits` bytes, none of which overlap: those of a base.
   * @param sampleBits 3 to 31
   */
  scanBase(bytes: Uint8Array, sampleBits: number): void {
    const aligned = bytes.byteOffset % WORD_BYTES === 0 ? bytes : new Uint8Array(bytes);
    const words = new Int32Array(aligned.buffer, aligned.byteOffset, aligned.length >>> WORD_BITS);
    const view = new DataView(aligned.buffer, aligned.byteOffset, aligned.length);
    const shift = 32 - (sampleBits - WORD_BITS);
    const last = words.length - FINGERPRINT_BYTES / WORD_BYTES;
    let count = 0;
    for (let i = 0; i <= last; i += 1) {
      if (choice(words[i] ?? 0, words[i + 1] ?? 0) >>> shift !== 0) continue;
      this.hashes[count] = hashAt(view, i * WORD_BYTES);
      this.starts[count] = i * WORD_BYTES;
      count += 1;
      i += FINGERPRINT_BYTES / WORD_BYTES - 1;
    }
    this.length = count;
  }

  /** Takes all fingerprints that a base with this content may have, wherever the content lies in it. */
  scan(bytes: Uint8Array, sampleBits: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const shift = 32 - (sampleBits - WORD_BITS);
    const last = bytes.length - FINGERPRINT_BYTES;
    let count = 0;
    let before = -1;
    let word = last < 0 ? 0 : view.getInt32(0, true) << 8;
    let next = last < 0 ? 0 : view.getInt32(WORD_BYTES, true) << 8;
    for (let at = 0; at <= last; at += 1) {
      word = (word >>> 8) | ((bytes[at + 3] ?? 0) << 24);
      next = (next >>> 8) | ((bytes[at + 7] ?? 0) << 24);
      if (choice(word, next) >>> shift !== 0) continue;
      const hash = hashAt(view, at);
      // A run of one byte would vote at each position.
      if (hash === before) continue;
      before = hash;
      this.hashes[count] = hash;
      this.starts[count] = at;
      count += 1;
    }
    this.length = count;
  }
}

/** As good as random in its upper bits. */
function choice(word: number, next: number): number {
  return (Math.imul(word, C1) + Math.imul(next, C2) + NOT_ZEROS) | 0;
}

/** MurmurHash3 of the 32 bytes from `start` on. */
function hashAt(view: DataView, start: number): number {
  let hash = 0;
  for (let at = start; at < start + FINGERPRINT_BYTES; at += 4) {
    let word = Math.imul(view.getInt32(at, true), C1);
    word = (word << 15) | (word >>> 17);
    hash ^= Math.imul(word, C2);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + C3) | 0;
  }
  hash ^= FINGERPRINT_BYTES;
  hash = Math.imul(hash ^ (hash >>> 16), F1);
  hash = Math.imul(hash ^ (hash >>> 13), F2);
  return (hash ^ (hash >>> 16)) >>> 0;
}
