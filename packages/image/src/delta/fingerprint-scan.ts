import { FINGERPRINT_SCAN_WASM } from "./fingerprint-scan-wasm.js";

/** Bytes under one fingerprint. */
export const FINGERPRINT_BYTES = 32;
/** Most fingerprints of one scan: eight times what a frame has on average. More has only content that repeats itself. */
export const MAX_FINGERPRINTS = 2048;
/** Most bytes of one scan: a frame. */
export const MAX_SCAN_BYTES = 1 << 16;

/** Odd numbers as good as random; those of the first two words choose positions too. */
const FACTORS = [
  0x9e3779b1, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1, 0xcc9e2d51, 0x1b873593, 0xe6546b65,
] as const;
/** So that a run of zero bytes is not chosen. */
const CHOICE = 0x7f4a7c15;

/** Memory and function of one scan after the other. */
export interface FingerprintScan {
  /** Where the bytes are put. */
  readonly bytes: Uint8Array;
  /** 32 bits each. */
  readonly hashes: Uint32Array;
  /** Offset of the first byte of each. Rises. */
  readonly starts: Uint32Array;
  /**
   * Takes the fingerprints of those positions of which a hash of 8 bytes is below `limit`, the first 2048 of them.
   * @param length of the bytes, at most 64 KiB
   * @param limit 1 to 2^31
   * @returns how many there are
   */
  readonly scan: (length: number, limit: number) => number;
}

/** What is used of it here; neither the language's types nor Node's have it. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => {
    readonly exports: Pick<FingerprintScan, "scan"> & { readonly memory: { readonly buffer: ArrayBuffer } };
  };
  readonly validate: (code: Uint8Array) => boolean;
};

/** The same in either way, whatever the machine. */
export function openFingerprintScan(): FingerprintScan {
  return simdScan() ?? scriptScan();
}

/** By WebAssembly, 16 positions at once: a third of the time of `scriptScan`. Undefined where processors cannot do that. */
export function simdScan(): FingerprintScan | undefined {
  const code = Buffer.from(FINGERPRINT_SCAN_WASM, "base64");
  if (!WebAssembly.validate(code)) return undefined;
  const { memory, scan } = new WebAssembly.Instance(new WebAssembly.Module(code)).exports;
  return { ...areas(memory.buffer), scan };
}

/** By JavaScript; for machines without SIMD, and to tell what the WebAssembly does. */
export function scriptScan(): FingerprintScan {
  const memory = new ArrayBuffer(MAX_SCAN_BYTES + 2 * MAX_FINGERPRINTS * Uint32Array.BYTES_PER_ELEMENT);
  const view = new DataView(memory);
  const { bytes, hashes, starts } = areas(memory);
  const scan = (length: number, limit: number): number => {
    let before = -1;
    let count = 0;
    for (let start = 0; start + FINGERPRINT_BYTES <= length && count < MAX_FINGERPRINTS; start += 1) {
      if (sum(view, start, 2, CHOICE) >>> 0 >= limit) continue;
      const hash = finish(sum(view, start, FACTORS.length, 0));
      // A run of one byte would vote at each position.
      if (hash === before) continue;
      before = hash;
      hashes[count] = hash;
      starts[count] = start;
      count += 1;
    }
    return count;
  };
  return { bytes, hashes, starts, scan };
}

function areas(memory: ArrayBuffer): Omit<FingerprintScan, "scan"> {
  const hashesAt = MAX_SCAN_BYTES;
  const startsAt = hashesAt + MAX_FINGERPRINTS * Uint32Array.BYTES_PER_ELEMENT;
  return {
    bytes: new Uint8Array(memory, 0, MAX_SCAN_BYTES),
    hashes: new Uint32Array(memory, hashesAt, MAX_FINGERPRINTS),
    starts: new Uint32Array(memory, startsAt, MAX_FINGERPRINTS),
  };
}

/** `seed` and so many words from `start` on, each times its factor; 32 bits. */
function sum(view: DataView, start: number, words: number, seed: number): number {
  let total = seed;
  for (let i = 0; i < words; i += 1)
    total = (total + Math.imul(view.getInt32(start + 4 * i, true), FACTORS[i] ?? 0)) | 0;
  return total;
}

/** The end of MurmurHash3_x86_32 (Austin Appleby, public domain): each bit depends on all. */
function finish(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
