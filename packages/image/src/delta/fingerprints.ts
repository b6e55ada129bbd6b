import { sha256 } from "@ckmesh/core";

/** Bytes under one fingerprint: what the 32 bits of the gear hash remember. */
export const FINGERPRINT_BYTES = 32;
/** Fingerprints keep this far apart, so that a run of one byte does not yield one at each position. */
const MIN_DISTANCE = FINGERPRINT_BYTES;
/** Multipliers and increments of MurmurHash3_x86_32 (Austin Appleby, public domain). */
const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;
const C3 = 0xe6546b64;
const F1 = 0x85ebca6b;
const F2 = 0xc2b2ae35;

/** A random word per byte value: of SHA-256 of "ckmesh gear BYTE", the first four bytes. */
const GEAR = Int32Array.from({ length: 256 }, (_, byte) =>
  Buffer.from(sha256(Buffer.from(`ckmesh gear ${byte}`, "latin1"))).readInt32LE(0),
);

/** Fingerprints of some bytes; reused from one piece of content to the next. */
export class FingerprintList {
  length = 0;
  /** 32 bits each. */
  readonly hashes: Uint32Array;
  /** Offset of the last byte of each. Rises. */
  readonly ends: Uint32Array;

  /** @param maxBytes longest content */
  constructor(maxBytes: number) {
    const most = Math.ceil(maxBytes / MIN_DISTANCE);
    this.hashes = new Uint32Array(most);
    this.ends = new Uint32Array(most);
  }

  /**
   * Takes the fingerprints of `bytes`: where they lie depends on the 32 bytes before alone, so that content
   * which moved by any distance has the same ones. A gear hash chooses the positions, one in
   * 2^`sampleBits`; each fingerprint then is a hash of its own.
   */
  scan(bytes: Uint8Array, sampleBits: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const shift = 32 - sampleBits;
    const { length } = bytes;
    let count = 0;
    let gear = 0;
    let at = 0;
    for (; at < FINGERPRINT_BYTES - 1 && at < length; at += 1) {
      gear = ((gear << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0;
    }
    let next = at;
    for (; at < length; at += 1) {
      gear = ((gear << 1) + (GEAR[bytes[at] ?? 0] ?? 0)) | 0;
      if (gear >>> shift !== 0 || at < next) continue;
      this.hashes[count] = hashBefore(view, at + 1);
      this.ends[count] = at;
      count += 1;
      next = at + MIN_DISTANCE;
    }
    this.length = count;
  }
}

/** MurmurHash3 of the 32 bytes before `end`. */
function hashBefore(view: DataView, end: number): number {
  let hash = 0;
  for (let at = end - FINGERPRINT_BYTES; at < end; at += 4) {
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
