import type { Identity } from "@ckmesh/auth";
import { Fields } from "@ckmesh/core";
import type { UploadTarget } from "../uploads/upload-intake.js";

/** What is kept of a session on disk, beside its bytes. */
export interface SessionRecord {
  /** As the client wrote it when it created the session, with its query. */
  readonly url: string;
  readonly user: Identity;
  readonly target: UploadTarget;
  /** Unix ms. */
  readonly createdAt: number;
  readonly total?: number;
  readonly notified?: Notified;
}

/** What a program said that was told of the whole file. */
export interface Notified {
  /** Where the client fetches the answer to its upload. */
  readonly replyUrl?: string;
  /** False: the program has what it wanted, and the file goes when the session ends. */
  readonly isPublished: boolean;
}

const FORMAT = 1;
/** Request lines are shorter. */
const MAX_TEXT = 65_536;
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

export function encodeRecord(record: SessionRecord): string {
  return JSON.stringify({ format: FORMAT, ...record });
}

/**
 * @throws {AppError} ERR_STORE_CORRUPT
 * @throws {SyntaxError}
 */
export function decodeRecord(text: string): SessionRecord {
  const fields = new Fields(JSON.parse(text), "session", "ERR_STORE_CORRUPT");
  fields.int("format", FORMAT, FORMAT);
  const [user, target] = [fields.map("user"), fields.map("target")];
  return {
    url: fields.string("url", MAX_TEXT),
    user: {
      name: user.string("name", MAX_TEXT),
      account: user.string("account", MAX_TEXT),
      ...(user.has("domain") && { domain: user.string("domain", MAX_TEXT) }),
    },
    target: {
      image: target.string("image", MAX_TEXT),
      kind: target.oneOf("kind", ["pack", "index"]),
      fileName: target.string("fileName", MAX_TEXT),
      ...(target.has("version") && { version: target.int("version", 0, MAX_COUNT) }),
    },
    createdAt: fields.int("createdAt", 0, MAX_COUNT),
    ...(fields.has("total") && { total: fields.int("total", 1, MAX_COUNT) }),
    ...(fields.has("notified") && { notified: decodeNotified(fields.map("notified")) }),
  };
}

function decodeNotified(fields: Fields): Notified {
  return {
    isPublished: fields.boolean("isPublished"),
    ...(fields.has("replyUrl") && { replyUrl: fields.string("replyUrl", MAX_TEXT) }),
  };
}
