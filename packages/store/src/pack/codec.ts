import { createRequire } from "node:module";
import { sha256 } from "@ckmesh/core";
import { FRAME_BYTES } from "@ckmesh/image";
import type * as NodeZstd from "@toondepauw/node-zstd";

/**
 * Packs frames of packs, for which everybody has to arrive at the same bytes. The only place that knows the
 * compressor, so that Node's own zstd (≥ 22.15) can take its place. Frames of deltas are packed by
 * `DictionaryEncoder`, all frames unpacked by `FrameDecoder`.
 */
export interface FrameCodec {
  /** The packed frame; `raw` itself when packing does not make it smaller. */
  pack(raw: Uint8Array): Uint8Array;
}

/**
 * Zero bytes at the start of each dictionary of a delta, which is raw content: one that begins 37 A4 30 EC would be
 * read as a dictionary of zstd's own kind.
 */
export const DICTIONARY_PREFIX_BYTES = 8;

/** zstd at a level from 1 to 12. */
export function createCodec(level: number): FrameCodec {
  const encoder = createEncoder(level);
  return {
    pack(raw) {
      const packed = encoder.encodeSync(asBuffer(raw));
      return packed.length < raw.length ? packed : raw;
    },
  };
}

const VECTOR_FRAMES = 16;
const VECTOR_SEED = "ckmesh codec vector 1 ";

/**
 * SHA-256 of what the codec makes of a fixed 1-MiB vector: codecs of equal fingerprint make equal frames.
 * The vector: 64-KiB frame f holds, for each 32-byte block b, SHA-256 of "ckmesh codec vector 1 F B" in
 * decimal, where F = f and B = b, but in odd 1-KiB stretches B = b modulo (f + 2), which repeats. Each output
 * is hashed after its length as u32 little-endian.
 */
export function codecFingerprint(level: number): Uint8Array {
  const encoder = createEncoder(level);
  const outputs: Uint8Array[] = [];
  for (let frame = 0; frame < VECTOR_FRAMES; frame += 1) {
    const raw = Buffer.alloc(FRAME_BYTES);
    const repeated = Array.from({ length: frame + 2 }, (_, block) => vectorBlock(frame, block));
    for (let block = 0; block < FRAME_BYTES / 32; block += 1) {
      const repeats = (block >>> 5) % 2 === 1;
      raw.set((repeats ? repeated[block % (frame + 2)] : undefined) ?? vectorBlock(frame, block), block * 32);
    }
    const packed = encoder.encodeSync(raw);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(packed.length);
    outputs.push(length, packed);
  }
  return sha256(Buffer.concat(outputs));
}

/**
 * Loaded by who packs, and by `require`: to import a CommonJS package takes 10 ms longer, in each thread, as Node looks
 * for the names that it exports.
 */
function createEncoder(level: number): NodeZstd.Encoder {
  const { Encoder }: typeof NodeZstd = createRequire(import.meta.url)("@toondepauw/node-zstd");
  return new Encoder(level);
}

function vectorBlock(frame: number, block: number): Uint8Array {
  return sha256(Buffer.from(`${VECTOR_SEED}${frame} ${block}`, "latin1"));
}

/** The same bytes as the Buffer that the binding wants. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
