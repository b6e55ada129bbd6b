import { AppError } from "@ckmesh/core";
import { MAX_PACKED_FRAME_BYTES } from "./constants.js";

/** Magic_Number (RFC 8878 §3.1.1), little-endian. */
const MAGIC = 0xfd2fb528;
const MAX_WINDOW_BYTES = 8 * 2 ** 20;
const MAX_BLOCKS = 16;
/** Block_Maximum_Size (RFC 8878 §3.1.1.2.4). */
const MAX_BLOCK_BYTES = 128 * 1024;
const RAW_BLOCK = 0;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

/**
 * Walks the blocks of a zstd frame (RFC 8878 §3.1.1) before anything decodes it: the decoder has no limit
 * of its own, and 65,538 bytes can ask for 2.1 GB. Afterwards decoding yields at most 16 x 128 KiB.
 * @throws {AppError} ERR_PACK_INVALID unless this is exactly one frame, without dictionary, that may have
 *   `rawLength` bytes
 */
export function checkZstdFrame(packed: Uint8Array, rawLength: number): void {
  if (packed.length > MAX_PACKED_FRAME_BYTES) throw invalid(`${packed.length} bytes packed`);
  if (packed.length < 4 || (u24At(packed, 0) | (byteAt(packed, 3) << 24)) >>> 0 !== MAGIC)
    throw invalid("no zstd frame");
  const descriptor = byteAt(packed, 4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  if ((descriptor & 0x08) !== 0) throw invalid("reserved bit set");
  if ((descriptor & 0x03) !== 0) throw invalid("it wants a dictionary");
  let at = 5;
  let window = rawLength;
  if (!isSingleSegment) {
    const code = byteAt(packed, at);
    const base = 2 ** (10 + (code >>> 3));
    window = base + (base / 8) * (code & 7);
    at += 1;
  }
  if (window > MAX_WINDOW_BYTES) throw invalid(`a window of ${window} bytes`);
  const flag = descriptor >>> 6;
  const sizeBytes = flag === 0 ? Number(isSingleSegment) : 1 << flag;
  if (sizeBytes > 0) {
    let size = sizeBytes === 2 ? 256 : 0;
    for (let i = 0; i < sizeBytes; i += 1) size += byteAt(packed, at + i) * 2 ** (8 * i);
    if (size !== rawLength) throw invalid(`it announces ${size} bytes instead of ${rawLength}`);
    at += sizeBytes;
  }
  at = walkBlocks(packed, at, rawLength);
  if ((descriptor & 0x04) !== 0) at += 4;
  if (at !== packed.length) throw invalid(at > packed.length ? "it is cut short" : "bytes follow its end");
}

/** Returns the offset behind the last block. */
function walkBlocks(packed: Uint8Array, start: number, rawLength: number): number {
  let at = start;
  let produced = 0;
  for (let block = 0; block < MAX_BLOCKS; block += 1) {
    const header = u24At(packed, at);
    const type = (header >>> 1) & 3;
    const size = header >>> 3;
    if (type === RESERVED_BLOCK || size > MAX_BLOCK_BYTES) throw invalid("a block is malformed");
    if (type === RAW_BLOCK || type === RLE_BLOCK) produced += size;
    if (produced > rawLength) throw invalid(`its blocks produce more than ${rawLength} bytes`);
    at += 3 + (type === RLE_BLOCK ? 1 : size);
    if ((header & 1) === 1) return at;
  }
  throw invalid(`more than ${MAX_BLOCKS} blocks`);
}

function u24At(bytes: Uint8Array, at: number): number {
  return byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8) | (byteAt(bytes, at + 2) << 16);
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw invalid("it is cut short");
  return byte;
}

function invalid(problem: string): AppError {
  return new AppError("ERR_PACK_INVALID", `a packed frame is refused before decoding: ${problem}`);
}
