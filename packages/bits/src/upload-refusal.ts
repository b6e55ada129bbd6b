import { AppError, type ErrorCode } from "@ckmesh/core";
import { HRESULT } from "./hresult.js";
import type { BitsPacket } from "./packet.js";
import type { RefusedReply } from "./reply.js";

/** What a client does about a refused packet ([MC-BUP] 3.1.5.1.7, 3.1.5.2). */
export type RefusalVerdict =
  /** Begin again with Create-Session. */
  | { readonly type: "newSession"; readonly error: AppError }
  /** Go on at the offset that the server states. */
  | { readonly type: "resync"; readonly received: number }
  /** Send smaller fragments. */
  | { readonly type: "smaller"; readonly error: AppError }
  /** It may pass. */
  | { readonly type: "retry"; readonly error: AppError; readonly afterMs: number }
  | { readonly type: "fatal"; readonly error: AppError };

/** [MC-BUP] 2.2.1.2 has this code, with status 500, for a full disk; with 408 it is `HRESULT.notificationTimeout`. */
const DISK_FULL_OF_TABLE = 0x80070112;

/** Codes of our own servers that mean the same to the user here. */
const SAME_HERE: ReadonlySet<ErrorCode> = new Set([
  "ERR_AUTH_FORBIDDEN",
  "ERR_IMAGE_EXISTS",
  "ERR_IMAGE_NAME_INVALID",
  "ERR_INDEX_INVALID",
  "ERR_PACK_INVALID",
  "ERR_SIGNATURE_INVALID",
  "ERR_VERSION_REFUSED",
  "ERR_FRAME_HASH_MISMATCH",
  "ERR_UPLOAD_CONFLICT",
  "ERR_UPLOAD_DISABLED",
  "ERR_UPLOAD_TOO_LARGE",
] satisfies readonly ErrorCode[]);

export function judgeRefusal(packet: BitsPacket["type"], reply: RefusedReply): RefusalVerdict {
  const { status, hresult, received } = reply;
  const hasSession = packet !== "ping" && packet !== "create";
  // Our own servers say 404 when the bytes are gone; from others it may mean anything.
  const isGone = hresult === HRESULT.sessionNotFound || reply.code === "ERR_FILE_NOT_FOUND";
  if (hasSession && isGone) {
    return { type: "newSession", error: refusalError("ERR_BITS_SESSION_NOT_FOUND", packet, reply) };
  }
  if (packet === "fragment" && status === 416 && received !== undefined) return { type: "resync", received };
  const error = refusalError(codeFor(reply), packet, reply);
  if (packet === "fragment" && status === 413) return { type: "smaller", error };
  if (isPassing(status, hresult)) {
    return { type: "retry", error, afterMs: (reply.retryAfterSeconds ?? 0) * 1000 };
  }
  return { type: "fatal", error };
}

/** 408 and 429 ask for another try (RFC 9110 §15.5.9, RFC 6585 §4); 5xx too, but for what is missing or too large. */
function isPassing(status: number, hresult: number | undefined): boolean {
  if (status === 408 || status === 429) return true;
  return status >= 500 && status !== 501 && status !== 505 && hresult !== HRESULT.tooLarge;
}

function codeFor({ status, hresult, code }: RefusedReply): ErrorCode {
  if (code !== undefined && SAME_HERE.has(code)) return code;
  if (hresult === HRESULT.tooLarge || status === 413) return "ERR_UPLOAD_TOO_LARGE";
  if (hresult === HRESULT.diskFull || status === 507) return "ERR_STORE_FULL";
  if (hresult === DISK_FULL_OF_TABLE && status === 500) return "ERR_STORE_FULL";
  if (status === 408) return "ERR_TIMEOUT";
  if (status === 401 || status === 407) return "ERR_AUTH_REQUIRED";
  if (status === 403) return "ERR_AUTH_FORBIDDEN";
  if (status === 404 || status === 405 || status === 501) return "ERR_UPLOAD_DISABLED";
  // Microsoft Learn has 409 where [MC-BUP] has 403 for a file that may not be overwritten.
  if (status === 409) return "ERR_IMAGE_EXISTS";
  if (status === 429) return "ERR_RATE_LIMITED";
  return status >= 500 ? "ERR_ORIGIN_BUSY" : "ERR_UPLOAD_REFUSED";
}

const MEANING: Partial<Readonly<Record<ErrorCode, string>>> = {
  ERR_BITS_SESSION_NOT_FOUND: "the server no longer knows the upload",
  ERR_UPLOAD_TOO_LARGE: "the server takes no upload of this size",
  ERR_STORE_FULL: "the server has no space left",
  ERR_AUTH_REQUIRED: "the server wants other credentials",
  ERR_AUTH_FORBIDDEN: "no right to upload there, or the file exists and may not be overwritten",
  ERR_IMAGE_EXISTS: "the server has this file, and it may not be overwritten",
  ERR_IMAGE_NAME_INVALID: "the server takes no file of this name",
  ERR_INDEX_INVALID: "the server does not accept the index",
  ERR_PACK_INVALID: "the server found that the pack does not belong to its index",
  ERR_SIGNATURE_INVALID: "the server accepts no version without a signature of its publishers",
  ERR_VERSION_REFUSED: "the server does not accept this version",
  ERR_FRAME_HASH_MISMATCH: "the bytes that the server received are not those of the index",
  ERR_UPLOAD_DISABLED: "uploads are not enabled at this URL",
  ERR_TIMEOUT: "the server gave up waiting",
  ERR_RATE_LIMITED: "the server wants fewer requests",
  ERR_ORIGIN_BUSY: "the server cannot handle the upload now",
};

function refusalError(code: ErrorCode, packet: BitsPacket["type"], reply: RefusedReply): AppError {
  const hresult = reply.hresult === undefined ? undefined : `0x${reply.hresult.toString(16).toUpperCase()}`;
  const facts = [`${packet}: status ${reply.status}`, hresult]
    .filter((fact) => fact !== undefined)
    .join(", ");
  return new AppError(code, `${MEANING[code] ?? "the server refused the upload"} (${facts})`, {
    details: {
      packet,
      status: reply.status,
      ...(hresult === undefined ? {} : { hresult }),
      ...(reply.context === undefined ? {} : { context: reply.context }),
      ...(reply.code === undefined ? {} : { remoteCode: reply.code }),
    },
  });
}
