import { AppError, ERROR_CODES, type ErrorCode, Fields, isAppError } from "@ckmesh/core";
import type { OriginAnswer } from "@ckmesh/net";

/** What an origin may decide about an order: here it means the same as there. */
const DECISIONS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "ERR_IMAGE_NOT_FOUND",
  "ERR_VERSION_IN_USE",
  "ERR_CONTROL_INVALID",
  "ERR_CONTROL_OUTDATED",
  "ERR_SIGNATURE_INVALID",
  "ERR_AUTH_FORBIDDEN",
  "ERR_AUTH_UNAVAILABLE",
  "ERR_FILE_DENIED",
  "ERR_STORE_BUSY",
  "ERR_STORE_FULL",
  "ERR_RATE_LIMITED",
  "ERR_SHUTTING_DOWN",
]);
const MAX_MESSAGE_CHARS = 500;
const MAX_CODE_CHARS = 64;

/** The error for an answer other than 200; `what` names the request. */
export function refusalOf(answer: OriginAnswer, what: string): AppError {
  const { status } = answer;
  const said = parseRefusal(answer.bytes);
  if (said !== undefined) {
    const code = ERROR_CODES.find((known) => known === said.code && DECISIONS.has(known));
    const details = { status, remoteCode: said.code };
    if (code !== undefined) return new AppError(code, `the origin says: ${said.message}`, { details });
    if (status !== 401) {
      return new AppError("ERR_ORIGIN_INVALID", `the origin refuses ${what}: ${said.message}`, { details });
    }
  }
  const details = { status };
  if (status === 401) {
    const offers = answer.offered.length === 0 ? "nothing" : answer.offered.join(", ");
    return new AppError(
      "ERR_AUTH_REQUIRED",
      `the origin wants credentials for ${what} (it offers: ${offers}), of an account with the right change or admin`,
      { details },
    );
  }
  if (status === 403) return new AppError("ERR_AUTH_FORBIDDEN", `the origin forbids ${what}`, { details });
  if (status === 404 || status === 405) {
    return new AppError(
      "ERR_ORIGIN_INVALID",
      `the server knows no ${what}: it is a plain web server, or an older ckmesh`,
      { details },
    );
  }
  const code = status >= 500 ? "ERR_ORIGIN_UNREACHABLE" : "ERR_ORIGIN_INVALID";
  return new AppError(code, `the origin answered ${what} with status ${status}`, { details });
}

interface Refusal {
  readonly code: string;
  readonly message: string;
}

/** Undefined for what is no error of ours: another server's page. */
function parseRefusal(bytes: Uint8Array): Refusal | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
  try {
    const fields = new Fields(value, "refusal", "ERR_ORIGIN_INVALID");
    const message = fields.string("message", MAX_MESSAGE_CHARS);
    // It goes to a terminal.
    return { code: fields.string("code", MAX_CODE_CHARS), message: message.replaceAll(/\p{C}/gu, " ") };
  } catch (err) {
    if (!isAppError(err)) throw err;
    return undefined;
  }
}
