import type { KeyObject } from "node:crypto";
import { AppError, decodeMsgpack, encodeMsgpack, Fields, isAppError, sha256, toHex } from "@ckmesh/core";
import {
  FORMAT,
  HASH_BYTES,
  HEAD_BYTES,
  MAX_CODECS,
  MAX_DISK_BYTES,
  MAX_ROWS,
  MAX_SIGNATURES,
  SECTOR_BYTES,
} from "./constants.js";
import { parseImageName } from "./image-name.js";
import {
  type CodecEntry,
  DISK_FORMATS,
  type IndexHead,
  SECTION_KINDS,
  type Section,
  type SignedHead,
} from "./index-head.js";
import { checkLayout } from "./section-layout.js";
import { encodeSignatures, parseSignatures } from "./signatures.js";
import { headSigningBytes } from "./trust.js";

const MAGIC = Buffer.from("CKMI", "latin1");
/** Magic, u16 format, u16 reserved, u32 head bytes, u32 signatures bytes. */
const PREFIX_BYTES = 16;
const MAX = Number.MAX_SAFE_INTEGER;
/** Features that a head may require of this reader: none yet. */
const FEATURES: ReadonlySet<string> = new Set();

/** True if `bytes` begin like one of our indexes; a foreign `.ckm.index` does not. */
export function hasIndexMagic(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes.subarray(0, MAGIC.length), MAGIC) === 0;
}

/**
 * Encodes and signs a head.
 * @throws {AppError} ERR_INDEX_INVALID when the head breaks the format or does not fit 4 KiB
 */
export function encodeHead(
  head: IndexHead,
  signers: readonly KeyObject[],
): { bytes: Uint8Array; id: Uint8Array } {
  checkLayout(head);
  const headBytes = encodeMsgpack(toPlain(head));
  const signatureBytes = encodeSignatures(headSigningBytes(head.name, headBytes), signers);
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
 * Reads the first 4096 bytes of an index and checks all that they say of sizes. The signatures are only
 * parsed: `checkTrust` decides whether they suffice.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export function decodeHead(bytes: Uint8Array): SignedHead {
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
  const head = parseHead(decodeMsgpack(headBytes, HEAD_BYTES, "ERR_INDEX_INVALID"));
  checkLayout(head);
  const id = sha256(headBytes);
  const signatures = parseSignatures(own.subarray(PREFIX_BYTES + headLength, end));
  if (signatures === undefined) throw invalid("its signatures have a wrong length");
  return { head, id, idHex: toHex(id), headBytes, signatures };
}

function parseHead(value: unknown): IndexHead {
  const fields = new Fields(value, "head", "ERR_INDEX_INVALID");
  if (fields.has("encryption")) throw unsupported("it asks for encryption, which format 1 does not have");
  const requires = fields.strings("requires", 32, 64);
  const unknown = requires.filter((feature) => !FEATURES.has(feature));
  if (unknown.length > 0) throw unsupported(`it needs ${unknown.join(", ")}: update ckmesh`);
  if (fields.has("base") || fields.has("target")) throw unsupported("it is the index of a delta");
  const pack = fields.map("pack");
  const counts = fields.map("counts");
  return {
    name: parseName(fields.string("name", 255)),
    version: fields.int("version", 1, MAX),
    ...(fields.has("previous") ? { previous: parsePrevious(fields.map("previous")) } : {}),
    createdAt: fields.int("createdAt", 0, MAX),
    requires,
    ...(fields.has("disk") ? { disk: parseDisk(fields.map("disk")) } : {}),
    codecs: fields.list("codecs", MAX_CODECS).map(parseCodec),
    pack: { length: pack.int("length", 0, MAX), sha256: pack.bytes("sha256", HASH_BYTES) },
    counts: {
      frames: counts.int("frames", 0, MAX_ROWS),
      sectors: counts.int("sectors", 0, MAX),
      kept: counts.int("kept", 0, MAX_ROWS),
    },
    secret: fields.bytes("secret", 32),
    sections: fields.list("sections", SECTION_KINDS.length).map(parseSection),
    hashesSha256: fields.bytes("hashesSha256", HASH_BYTES),
  };
}

function parseName(text: string): string {
  try {
    return parseImageName(text);
  } catch (cause) {
    if (!isAppError(cause)) throw cause;
    throw new AppError("ERR_INDEX_INVALID", "the index head names no valid image", { cause });
  }
}

function parsePrevious(fields: Fields): NonNullable<IndexHead["previous"]> {
  return { version: fields.int("version", 1, MAX), id: fields.bytes("id", HASH_BYTES) };
}

function parseDisk(fields: Fields): NonNullable<IndexHead["disk"]> {
  return {
    size: fields.int("size", 1, MAX_DISK_BYTES),
    format: fields.oneOf("format", DISK_FORMATS),
    gridOffset: fields.int("gridOffset", 0, SECTOR_BYTES - 1),
  };
}

function parseCodec(value: unknown): CodecEntry {
  const fields = new Fields(value, "head.codecs[]", "ERR_INDEX_INVALID");
  return {
    name: fields.oneOf("name", ["zstd", "store"]),
    level: fields.int("level", 0, 22),
    fingerprint: fields.bytes("fingerprint", HASH_BYTES),
    firstFrame: fields.int("firstFrame", 0, MAX_ROWS),
  };
}

function parseSection(value: unknown): Section {
  const fields = new Fields(value, "head.sections[]", "ERR_INDEX_INVALID");
  return {
    kind: fields.oneOf("kind", SECTION_KINDS),
    offset: fields.int("offset", HEAD_BYTES, MAX),
    length: fields.int("length", 0, MAX),
    pieceLength: fields.int("pieceLength", 1, MAX),
  };
}

/** Key order and presence are fixed here: the version id hangs on these bytes. */
function toPlain(head: IndexHead): object {
  const { name, version, previous, createdAt, requires, disk, codecs, pack, counts, secret } = head;
  return {
    name,
    version,
    ...(previous === undefined ? {} : { previous: { version: previous.version, id: previous.id } }),
    createdAt,
    requires,
    ...(disk === undefined
      ? {}
      : { disk: { size: disk.size, format: disk.format, gridOffset: disk.gridOffset } }),
    codecs: codecs.map(({ name: codec, level, fingerprint, firstFrame }) => ({
      name: codec,
      level,
      fingerprint,
      firstFrame,
    })),
    pack: { length: pack.length, sha256: pack.sha256 },
    counts: { frames: counts.frames, sectors: counts.sectors, kept: counts.kept },
    secret,
    sections: head.sections.map(({ kind, offset, length, pieceLength }) => ({
      kind,
      offset,
      length,
      pieceLength,
    })),
    hashesSha256: head.hashesSha256,
  };
}

function invalid(problem: string): AppError {
  return new AppError("ERR_INDEX_INVALID", `the index head cannot be read: ${problem}`);
}

function unsupported(problem: string): AppError {
  return new AppError("ERR_FORMAT_UNSUPPORTED", `the index cannot be used: ${problem}`);
}
