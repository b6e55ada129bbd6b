import type { KeyObject } from "node:crypto";
import { AppError, decodeMsgpack, encodeMsgpack, sha256, toHex } from "@ckmesh/core";
import { FORMAT, HEAD_BYTES, MAX_SIGNATURES } from "./constants.js";
import type { HeadCommon, SignedHead } from "./index-head.js";
import { encodeSignatures, parseSignatures } from "./signatures.js";
import { headSigningBytes } from "./trust.js";

const MAGIC = Buffer.from("CKMI", "latin1");
/** Magic, u16 format, u16 reserved, u32 head bytes, u32 signatures bytes. */
const PREFIX_BYTES = 16;

/** True if `bytes` begin like one of our indexes; a foreign `.ckm.index` does not. */
export function hasIndexMagic(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) === 0;
}

/**
 * Signs the fields of a head and lays them out as the first 4096 bytes of an index.
 * @throws {AppError} ERR_INDEX_INVALID when they do not fit
 */
export function encodeHeadBlock(
  name: string,
  fields: object,
  signers: readonly KeyObject[],
): { bytes: Uint8Array; id: Uint8Array } {
  const headBytes = encodeMsgpack(fields);
  const signatureBytes = encodeSignatures(headSigningBytes(name, headBytes), signers);
  if (
    signers.length > MAX_SIGNATURES ||
    PREFIX_BYTES + headBytes.length + signatureBytes.length > HEAD_BYTES
  ) {
    throw new AppError(
      "ERR_INDEX_INVALID",
      `head and ${signers.length} signatures do not fit ${HEAD_BYTES} bytes`,
    );
  }
  const bytes = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt16LE(FORMAT, 4);
  bytes.writeUInt32LE(headBytes.length, 8);
  bytes.writeUInt32LE(signatureBytes.length, 12);
  bytes.set(headBytes, PREFIX_BYTES);
  bytes.set(signatureBytes, PREFIX_BYTES + headBytes.length);
  return { bytes, id: sha256(headBytes) };
}

/**
 * Takes the first 4096 bytes of an index apart; `parse` reads the fields. The signatures are only parsed:
 * `checkTrust` decides whether they suffice.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export function decodeHeadBlock<H extends HeadCommon>(
  bytes: Uint8Array,
  parse: (fields: unknown) => H,
): SignedHead<H> {
  if (bytes.length < HEAD_BYTES) {
    throw invalid(`it has ${bytes.length} bytes, and a head has ${HEAD_BYTES}: the file is truncated`);
  }
  // A copy: what comes out must not change with a reused buffer.
  const own = Buffer.from(bytes.subarray(0, HEAD_BYTES));
  if (!hasIndexMagic(own)) {
    throw unsupported("it does not begin with CKMI: it is no ckmesh index");
  }
  const format = own.readUInt16LE(4);
  if (format !== FORMAT) {
    throw unsupported(`it has format ${format}, this program reads format ${FORMAT}: update ckmesh`);
  }
  const headLength = own.readUInt32LE(8);
  const signaturesLength = own.readUInt32LE(12);
  const end = PREFIX_BYTES + headLength + signaturesLength;
  if (own.readUInt16LE(6) !== 0 || headLength === 0 || end > HEAD_BYTES)
    throw invalid("its lengths do not add up");
  if (own.subarray(end).some((byte) => byte !== 0)) throw invalid("its padding is not zero");
  const headBytes = own.subarray(PREFIX_BYTES, PREFIX_BYTES + headLength);
  const head = parse(decodeMsgpack(headBytes, HEAD_BYTES, "ERR_INDEX_INVALID"));
  const id = sha256(headBytes);
  const signatures = parseSignatures(own.subarray(PREFIX_BYTES + headLength, end));
  if (signatures === undefined) throw invalid("its signatures have a wrong length");
  return { head, id, idHex: toHex(id), headBytes, signatures };
}

function invalid(problem: string): AppError {
  return new AppError("ERR_INDEX_INVALID", `the index head cannot be read: ${problem}`);
}

export function unsupported(problem: string, details: Readonly<Record<string, unknown>> = {}): AppError {
  return new AppError("ERR_FORMAT_UNSUPPORTED", `the index cannot be used: ${problem}`, { details });
}
