import { AppError, Bitfield, equalBytes, sha256 } from "@ckmesh/core";

/*
 * The checkpoint of a partial version: which rows were on the disk (after fdatasync) when it was written.
 *   0  "CKMH", u16 format (1), u16 zero, u32 rows
 *  12  32-byte version id
 *  44  bits, most significant first
 *   …  SHA-256 of all before
 */
const MAGIC = 0x484d_4b43;
const FORMAT = 1;
const HEADER_BYTES = 44;
const HASH_BYTES = 32;

export function encodeHaveMap(versionId: Uint8Array, have: Bitfield): Uint8Array {
  const bits = have.toBytes();
  const bytes = new Uint8Array(HEADER_BYTES + bits.byteLength + HASH_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, FORMAT, true);
  view.setUint32(8, have.length, true);
  bytes.set(versionId, 12);
  bytes.set(bits, HEADER_BYTES);
  bytes.set(sha256(bytes.subarray(0, -HASH_BYTES)), bytes.byteLength - HASH_BYTES);
  return bytes;
}

/**
 * @throws {AppError} ERR_STORE_CORRUPT when it is torn, damaged, or of another version: then nothing of it
 *   counts, and every row is hashed where it lies
 */
export function decodeHaveMap(bytes: Uint8Array, versionId: Uint8Array, rows: number): Bitfield {
  const expected = HEADER_BYTES + Math.ceil(rows / 8) + HASH_BYTES;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isSound =
    bytes.byteLength === expected &&
    view.getUint32(0, true) === MAGIC &&
    view.getUint16(4, true) === FORMAT &&
    view.getUint32(8, true) === rows &&
    equalBytes(bytes.subarray(12, HEADER_BYTES), versionId) &&
    equalBytes(sha256(bytes.subarray(0, -HASH_BYTES)), bytes.subarray(-HASH_BYTES));
  if (!isSound) throw new AppError("ERR_STORE_CORRUPT", "the have-map is damaged or of another version");
  return Bitfield.from(bytes.subarray(HEADER_BYTES, -HASH_BYTES), rows);
}
