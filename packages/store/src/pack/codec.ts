import { AppError, sha256 } from "@ckmesh/core";
import { checkZstdFrame, FRAME_BYTES } from "@ckmesh/image";
import { Decoder, Encoder } from "@toondepauw/node-zstd";
import { CodecGarbage } from "./codec-garbage.js";

/**
 * Packs and unpacks frames. The only place that knows the compressor, so that Node's own zstd (≥ 22.15) can
 * take its place; frames of deltas are packed and unpacked by `DictionaryEncoder` and `DictionaryDecoder`.
 * Dictionaries are raw content that begins with 8 zero bytes: one that begins
 * 37 A4 30 EC would abort the process.
 */
export interface FrameCodec {
  /** The packed frame; `raw` itself when packing does not make it smaller. */
  pack(raw: Uint8Array): Uint8Array;
  /**
   * Exactly `rawLength` bytes; `packed` itself when it is that long, which marks a stored frame.
   * @throws {AppError} ERR_PACK_INVALID for anything but one well-formed frame of that length
   */
  unpack(packed: Uint8Array, rawLength: number): Uint8Array;
}

/** Zero bytes at the start of each dictionary. */
export const DICTIONARY_PREFIX_BYTES = 8;

/** zstd at a level from 1 to 12. */
export function createCodec(level: number): FrameCodec {
  const encoder = new Encoder(level);
  const decoder = new Decoder();
  const garbage = new CodecGarbage();
  return {
    pack(raw) {
      const packed = encoder.encodeSync(asBuffer(raw));
      return packed.length < raw.length ? packed : raw;
    },
    unpack: (packed, rawLength) => unpackFrame(decoder, garbage, packed, rawLength),
  };
}

function unpackFrame(
  decoder: Decoder,
  garbage: CodecGarbage,
  packed: Uint8Array,
  rawLength: number,
): Uint8Array {
  return unpackChecked(packed, rawLength, () => {
    garbage.add();
    return decoder.decodeSync(asBuffer(packed));
  });
}

/**
 * What `decode` makes of a frame, looked at before and after; `packed` itself when it is stored.
 * @throws {AppError} ERR_PACK_INVALID for anything but one well-formed frame of that length
 */
export function unpackChecked(packed: Uint8Array, rawLength: number, decode: () => Uint8Array): Uint8Array {
  if (packed.length === rawLength) return packed;
  checkZstdFrame(packed, rawLength);
  let raw: Uint8Array;
  try {
    raw = decode();
  } catch (cause) {
    throw new AppError("ERR_PACK_INVALID", "a packed frame cannot be decoded", { cause });
  }
  if (raw.length !== rawLength) {
    throw new AppError("ERR_PACK_INVALID", `a frame has ${raw.length} bytes instead of ${rawLength}`);
  }
  return raw;
}

/** A dictionary that no decoder or encoder takes for one of another kind. */
export function checkedDictionary(dictionary: Uint8Array): Buffer {
  for (let i = 0; i < DICTIONARY_PREFIX_BYTES; i += 1) {
    if (dictionary[i] !== 0) throw new Error("unreachable: a dictionary without its zero bytes");
  }
  return asBuffer(dictionary);
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
  const encoder = new Encoder(level);
  const outputs: Uint8Array[] = [];
  for (let frame = 0; frame < VECTOR_FRAMES; frame += 1) {
    const raw = Buffer.alloc(FRAME_BYTES);
    for (let block = 0; block < FRAME_BYTES / 32; block += 1) {
      const repeats = (block >>> 5) % 2 === 1;
      const seed = `${VECTOR_SEED}${frame} ${repeats ? block % (frame + 2) : block}`;
      raw.set(sha256(Buffer.from(seed, "latin1")), block * 32);
    }
    const packed = encoder.encodeSync(raw);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(packed.length);
    outputs.push(length, packed);
  }
  return sha256(Buffer.concat(outputs));
}

/** The same bytes as the Buffer that the binding wants. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
