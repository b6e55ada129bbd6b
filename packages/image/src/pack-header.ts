import { AppError, equalBytes } from "@ckmesh/core";
import { FORMAT, HASH_BYTES, PACK_HEADER_BYTES } from "./constants.js";
import type { HeadCommon, SignedHead } from "./index-head.js";

const MAGIC = Buffer.from("CKMP", "latin1");
const ID_AT = 16;

/** True if `bytes` begin like one of our packs; a foreign `.ckm` is opaque. */
export function hasPackMagic(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) === 0;
}

/** The first 64 bytes of a pack: magic, u16 format, u16 flags, u64 length, version id, zeros. */
export function encodePackHeader(length: number, versionId: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(PACK_HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(FORMAT, 4);
  bytes.writeBigUInt64LE(BigInt(length), 8);
  bytes.set(versionId, ID_AT);
  return bytes;
}

/** The version id that a pack of ours names in its header; undefined when `bytes` begin like no pack of ours. */
export function packHeaderId(bytes: Uint8Array): Uint8Array | undefined {
  return bytes.length >= PACK_HEADER_BYTES && hasPackMagic(bytes)
    ? bytes.slice(ID_AT, ID_AT + HASH_BYTES)
    : undefined;
}

/**
 * Requires that a pack begins as its index says.
 * @throws {AppError} ERR_PACK_INVALID
 */
export function checkPackHeader(
  bytes: Uint8Array,
  signed: Pick<SignedHead<HeadCommon>, "head" | "id">,
): void {
  if (!hasPackMagic(bytes)) throw invalid("it does not begin with CKMP");
  if (!equalBytes(bytes, encodePackHeader(signed.head.pack.length, signed.id))) {
    throw invalid("its header names another version than its index; copy both files again");
  }
}

function invalid(problem: string): AppError {
  return new AppError("ERR_PACK_INVALID", `the pack does not belong to its index: ${problem}`);
}
