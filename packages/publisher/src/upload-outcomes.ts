import { sessionKey } from "@ckmesh/bits";
import { AppError, ERROR_CODES, type ErrorCode, Fields } from "@ckmesh/core";
import type { OriginAnswer, OriginCalls } from "@ckmesh/net";

const OUTCOME_STATES = ["receiving", "waiting", "checking", "published", "refused"] as const;

/** What became of an upload at an origin of ours. */
export interface UploadOutcome {
  /** Of its session. */
  readonly id: string;
  readonly state: (typeof OUTCOME_STATES)[number];
  /** Of what was published. */
  readonly version?: number;
  /** Why it waits or was refused. */
  readonly reason?: string;
  readonly code?: ErrorCode;
}

const PATH = "/ckmesh/api/uploads";
const MAX_LIST_BYTES = 4 * 1024 * 1024;
const MAX_UPLOADS = 100_000;
const MAX_TEXT = 20_000;

/**
 * The uploads that the origin knows, open ones and those that ended not long ago.
 * @returns undefined from a server that is no origin of ours
 * @throws {AppError} ERR_AUTH_FORBIDDEN without the right to upload, ERR_AUTH_REQUIRED; as `OriginCalls`
 */
export async function listUploads(
  calls: OriginCalls,
  signal: AbortSignal,
): Promise<readonly UploadOutcome[] | undefined> {
  const answer = await calls.send({
    method: "GET",
    path: PATH,
    headers: { accept: "application/json" },
    maxAnswerBytes: MAX_LIST_BYTES,
    signal,
  });
  if (answer.status === 200) return decodeList(answer);
  const code = answeredCode(answer);
  if (code === undefined) {
    if (answer.status < 500 || answer.status === 501) return undefined;
    throw new AppError("ERR_ORIGIN_UNREACHABLE", `the server failed on ${PATH} with status ${answer.status}`);
  }
  // An origin that takes no uploads, or not yet: its answer to BITS says so.
  if (code === "ERR_IMAGE_NOT_FOUND") return undefined;
  throw new AppError(code, MEANING[code] ?? `the origin does not tell of uploads: status ${answer.status}`);
}

const MEANING: Partial<Readonly<Record<ErrorCode, string>>> = {
  ERR_AUTH_FORBIDDEN: "this account has no right to upload at the origin (change)",
  ERR_AUTH_REQUIRED: "the origin wants credentials of an account with the right to upload (change)",
};

/** The upload of a session, whose id may be written with braces or without. */
export function findUpload(
  uploads: readonly UploadOutcome[] | undefined,
  sessionId: string,
): UploadOutcome | undefined {
  const key = sessionKey(sessionId);
  return key === undefined ? undefined : uploads?.find(({ id }) => sessionKey(id) === key);
}

/** Why the origin does not publish an upload. */
export function refusedUpload({ code, reason }: UploadOutcome): AppError {
  const why = reason === undefined ? "" : `: ${reason}`;
  return new AppError(code ?? "ERR_UPLOAD_REFUSED", `the origin does not publish this version${why}`, {
    details: { ...(code !== undefined && { remoteCode: code }) },
  });
}

/** @returns undefined when it is no list of ours: some servers answer every path with a page */
function decodeList(answer: OriginAnswer): readonly UploadOutcome[] | undefined {
  const value = parseAnswer(answer);
  if (typeof value !== "object" || value === null || !("uploads" in value)) return undefined;
  const list = new Fields(value, "uploads", "ERR_ORIGIN_INVALID").list("uploads", MAX_UPLOADS);
  return list.map((item) => decodeOutcome(item));
}

function decodeOutcome(item: unknown): UploadOutcome {
  const fields = new Fields(item, "upload", "ERR_ORIGIN_INVALID");
  const code = fields.has("code") ? fields.string("code", MAX_TEXT) : undefined;
  const known = ERROR_CODES.find((each) => each === code);
  return {
    id: fields.string("id", MAX_TEXT),
    state: fields.oneOf("state", OUTCOME_STATES),
    ...(fields.has("version") && { version: fields.int("version", 1, Number.MAX_SAFE_INTEGER) }),
    // It goes to a terminal.
    ...(fields.has("reason") && { reason: fields.string("reason", MAX_TEXT).replaceAll(/\p{C}/gu, " ") }),
    ...(known !== undefined && { code: known }),
  };
}

/** The body as JSON, as untrusted as ever; undefined when it is none, or was cut off. */
function parseAnswer({ bytes }: OriginAnswer): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"));
  } catch {
    return undefined;
  }
}

/** The code of an error that an origin of ours answers with; undefined from others. */
function answeredCode(answer: OriginAnswer): ErrorCode | undefined {
  const value = parseAnswer(answer);
  if (typeof value !== "object" || value === null || !("code" in value)) return undefined;
  return ERROR_CODES.find((code) => code === value.code);
}
