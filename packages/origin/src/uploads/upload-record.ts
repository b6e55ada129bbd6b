import type { Identity } from "@ckmesh/auth";
import { AppError, ERROR_CODES, type ErrorCode, Fields } from "@ckmesh/core";
import type { UploadTarget } from "./upload-intake.js";

/** How an upload ended. */
export type UploadEnd =
  | { readonly state: "published"; readonly image: string; readonly version: number; readonly at: number }
  | { readonly state: "refused"; readonly code: ErrorCode; readonly reason: string; readonly at: number };

/** What is kept on disk of a closed upload. */
export interface UploadRecord {
  /** Of the session. */
  readonly id: string;
  readonly user: Identity;
  readonly target: UploadTarget;
  readonly total: number;
  /** Unix ms. */
  readonly closedAt: number;
  /** Absent: waits, or is being checked. */
  readonly end?: UploadEnd;
}

const MAX = Number.MAX_SAFE_INTEGER;
const MAX_TEXT = 10_000;

export function encodeRecord(record: UploadRecord): string {
  return JSON.stringify(record);
}

/** @throws {AppError} ERR_STORE_CORRUPT */
export function decodeRecord(text: string): UploadRecord {
  const fields = new Fields(parseJson(text), "upload", "ERR_STORE_CORRUPT");
  const user = fields.map("user");
  const target = fields.map("target");
  return {
    id: fields.string("id", 100),
    user: {
      name: user.string("name", MAX_TEXT),
      account: user.string("account", MAX_TEXT),
      ...(user.has("domain") ? { domain: user.string("domain", MAX_TEXT) } : {}),
    },
    target: {
      image: target.string("image", 255),
      kind: target.oneOf("kind", ["pack", "index"]),
      ...(target.has("version") ? { version: target.int("version", 1, MAX) } : {}),
      fileName: target.string("fileName", 255),
    },
    total: fields.int("total", 0, MAX),
    closedAt: fields.int("closedAt", 0, MAX),
    ...(fields.has("end") ? { end: decodeEnd(fields.map("end")) } : {}),
  };
}

function decodeEnd(fields: Fields): UploadEnd {
  const at = fields.int("at", 0, MAX);
  if (fields.oneOf("state", ["published", "refused"]) === "published") {
    const version = fields.int("version", 1, MAX);
    return { state: "published", image: fields.string("image", 255), version, at };
  }
  return {
    state: "refused",
    code: fields.oneOf("code", ERROR_CODES),
    reason: fields.string("reason", MAX_TEXT),
    at,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AppError("ERR_STORE_CORRUPT", "the record of an upload is no JSON", { cause });
  }
}
