import { AppError, Fields, isAppError } from "@ckmesh/core";
import { HASH_BYTES, HEAD_BYTES, MAX_CODECS, MAX_ROWS } from "./constants.js";
import { unsupported } from "./head-block.js";
import { parseImageName } from "./image-name.js";
import {
  type CodecEntry,
  type HeadCommon,
  SECTION_KINDS,
  type Section,
  type VersionRef,
} from "./index-head.js";

const MAX = Number.MAX_SAFE_INTEGER;
/** Features that a head may require of this reader: none yet. */
const FEATURES: ReadonlySet<string> = new Set();

/**
 * The fields of an untrusted head, once nothing in it asks for what this reader does not know.
 * @throws {AppError} ERR_INDEX_INVALID, ERR_FORMAT_UNSUPPORTED
 */
export function headFields(value: unknown): Fields {
  const fields = new Fields(value, "head", "ERR_INDEX_INVALID");
  if (fields.has("encryption")) throw unsupported("it asks for encryption, which format 1 does not have");
  const unknown = fields.strings("requires", 32, 64).filter((feature) => !FEATURES.has(feature));
  if (unknown.length > 0) throw unsupported(`it needs ${unknown.join(", ")}: update ckmesh`);
  return fields;
}

/** @throws {AppError} ERR_INDEX_INVALID */
export function parseCommon(fields: Fields): HeadCommon {
  const pack = fields.map("pack");
  const counts = fields.map("counts");
  return {
    name: parseName(fields.string("name", 255)),
    version: fields.int("version", 1, MAX),
    createdAt: fields.int("createdAt", 0, MAX),
    requires: fields.strings("requires", 32, 64),
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

/** @throws {AppError} ERR_INDEX_INVALID */
export function parseVersionRef(fields: Fields): VersionRef {
  return { version: fields.int("version", 1, MAX), id: fields.bytes("id", HASH_BYTES) };
}

/**
 * The common fields as they are encoded, in two parts, between which an image has its disk. Key order and
 * presence are fixed here: the version id hangs on these bytes.
 */
export function commonPlain(head: HeadCommon): { readonly first: object; readonly last: object } {
  const { createdAt, requires, codecs, pack, counts, secret } = head;
  return {
    first: { createdAt, requires },
    last: {
      codecs: codecs.map(({ name, level, fingerprint, firstFrame }) => ({
        name,
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
    },
  };
}

export function plainRef({ version, id }: VersionRef): object {
  return { version, id };
}

function parseName(text: string): string {
  try {
    return parseImageName(text);
  } catch (cause) {
    if (!isAppError(cause)) throw cause;
    throw new AppError("ERR_INDEX_INVALID", "the index head names no valid image", { cause });
  }
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
