import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { AppError, ERROR_CODES, type ErrorCode, Fields, isAppError, type Logger } from "@ckmesh/core";
import { fileErrorCode } from "../files/store-error.js";
import { writeAtomic } from "../files/write-atomic.js";
import type { RowSource, SourceBytes } from "./row-source.js";

/** DESIGN.md section 8. A version that is not known is `available` at the earliest. */
const VERSION_STATES = [
  "available",
  "proposed",
  "fetching",
  "verified",
  "staged",
  "active",
  "superseded",
] as const;
export type VersionState = (typeof VERSION_STATES)[number];

/** Bytes that arrived and were of no use; `origin` says how many of all of them came over the WAN. */
export interface WastedBytes {
  readonly rejected: number;
  readonly duplicate: number;
  readonly retried: number;
  readonly origin: number;
}

export const NO_WASTE: WastedBytes = { rejected: 0, duplicate: 0, retried: 0, origin: 0 };

/** What came of a delta to a version. */
export interface DeltaBytes {
  /** Id of the delta, hex. */
  readonly id: string;
  /** The version that it leads from. */
  readonly from: number;
  /** Of its rows, by how they came. */
  readonly bytes: SourceBytes;
}

/** What a status says of a version without its pack. */
export interface ShedPack {
  readonly rows: number;
  readonly bytes: SourceBytes;
}

export interface VersionRecord {
  readonly version: number;
  /** Version id, hex. */
  readonly id: string;
  readonly state: VersionState;
  /** Whether the head came over TLS: only then it may be swarmed without `allowOpenSwarm`. */
  readonly isPrivate: boolean;
  /** At the origin its index is `NAME_n.ckm.frames.index`, as `NAME_n.ckm.index` is a foreign one. */
  readonly isFramesIndex: boolean;
  readonly wasted: WastedBytes;
  /** Deltas of which rows came; they are not kept beside the version. */
  readonly deltas?: readonly DeltaBytes[];
  /** File name of the rebuilt disk beside the pack. */
  readonly disk?: string;
  /** Its pack was given up for its disk: what it held then. */
  readonly shed?: ShedPack;
  readonly error?: { readonly code: ErrorCode; readonly message: string };
}

export interface ImageRecord {
  /** The highest version ever verified here: a lower one is refused, the same one must have the same id. */
  readonly highest?: { readonly version: number; readonly id: string };
  readonly active?: number;
  /** Somebody rolled back: versions up to this one are not activated by themselves. */
  readonly heldBack?: number;
  /** Somebody accepted this version. */
  readonly accepted?: number;
  /** What the alias said last. */
  readonly alias?: { readonly etag: string; readonly version: number };
  readonly versions: readonly VersionRecord[];
}

const NEW_IMAGE: ImageRecord = { versions: [] };

const FILE = "state.json";
const MAX_VERSIONS = 10_000;
const MAX_DELTAS = 1000;
const MAX = Number.MAX_SAFE_INTEGER;

/** Writes the record of the image in `folder`, atomically. */
export async function saveImageRecord(folder: string, record: ImageRecord): Promise<void> {
  await writeAtomic(join(folder, FILE), `${JSON.stringify({ format: 1, ...record }, undefined, 1)}\n`);
}

/** Reads it; a damaged one is put aside and counts as absent: what the packs themselves say is found again. */
export async function loadImageRecord(folder: string, logger: Logger): Promise<ImageRecord> {
  const path = join(folder, FILE);
  try {
    return parseImageRecord(await readFile(path, "utf8"));
  } catch (err) {
    if (fileErrorCode(err) === "ENOENT") return NEW_IMAGE;
    if (!isAppError(err, "ERR_STORE_CORRUPT")) throw err;
    logger.warn({ err, file: path }, "image state is damaged and was put aside");
    await rename(path, `${path}.damaged`);
    return NEW_IMAGE;
  }
}

/** @throws {AppError} ERR_STORE_CORRUPT */
function parseImageRecord(text: string): ImageRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("ERR_STORE_CORRUPT", "the image state is no JSON", { cause });
  }
  const f = new Fields(value, "state", "ERR_STORE_CORRUPT");
  f.int("format", 1, 1);
  const highest = f.has("highest") ? f.map("highest") : undefined;
  const alias = f.has("alias") ? f.map("alias") : undefined;
  return {
    ...(highest && { highest: { version: highest.int("version", 1, MAX), id: highest.string("id", 64) } }),
    ...(f.has("active") && { active: f.int("active", 1, MAX) }),
    ...(f.has("heldBack") && { heldBack: f.int("heldBack", 1, MAX) }),
    ...(f.has("accepted") && { accepted: f.int("accepted", 1, MAX) }),
    ...(alias && { alias: { etag: alias.string("etag", 1024), version: alias.int("version", 1, MAX) } }),
    versions: f.list("versions", MAX_VERSIONS).map(parseVersion),
  };
}

function parseShed(f: Fields): ShedPack {
  const bytes = f.map("bytes");
  const of = (source: RowSource): number => bytes.int(source, 0, MAX);
  return {
    rows: f.int("rows", 0, MAX),
    bytes: {
      previous: of("previous"),
      delta: of("delta"),
      host: of("host"),
      peers: of("peers"),
      origin: of("origin"),
    },
  };
}

function parseVersion(value: unknown): VersionRecord {
  const f = new Fields(value, "version", "ERR_STORE_CORRUPT");
  const wasted = f.map("wasted");
  const error = f.has("error") ? f.map("error") : undefined;
  return {
    version: f.int("version", 1, MAX),
    id: f.string("id", 64),
    state: f.oneOf("state", VERSION_STATES),
    isPrivate: f.boolean("isPrivate"),
    isFramesIndex: f.boolean("isFramesIndex"),
    wasted: {
      rejected: wasted.int("rejected", 0, MAX),
      duplicate: wasted.int("duplicate", 0, MAX),
      retried: wasted.int("retried", 0, MAX),
      origin: wasted.int("origin", 0, MAX),
    },
    ...(f.has("deltas") && { deltas: f.list("deltas", MAX_DELTAS).map(parseDelta) }),
    ...(f.has("disk") && { disk: f.string("disk", 300) }),
    ...(f.has("shed") && { shed: parseShed(f.map("shed")) }),
    ...(error && {
      error: { code: error.oneOf("code", ERROR_CODES), message: error.string("message", 10_000) },
    }),
  };
}

function parseDelta(value: unknown): DeltaBytes {
  const f = new Fields(value, "delta", "ERR_STORE_CORRUPT");
  const bytes = f.map("bytes");
  return {
    id: f.string("id", 64),
    from: f.int("from", 1, MAX),
    bytes: {
      previous: bytes.int("previous", 0, MAX),
      delta: bytes.int("delta", 0, MAX),
      host: bytes.int("host", 0, MAX),
      peers: bytes.int("peers", 0, MAX),
      origin: bytes.int("origin", 0, MAX),
    },
  };
}
