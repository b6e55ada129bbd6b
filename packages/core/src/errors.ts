/**
 * Every error code of ckmesh, with the HTTP status a server answers for it. A code is API: renaming or
 * removing one is a breaking change. `docs/errors.md` says what each means and what to do.
 */
const STATUS = {
  ERR_CONFIG_INVALID: 500,
  ERR_USAGE: 400,
  ERR_AUTH_REQUIRED: 401,
  ERR_AUTH_FORBIDDEN: 403,
  ERR_AUTH_UNAVAILABLE: 503,
  ERR_IMAGE_NOT_FOUND: 404,
  ERR_IMAGE_NAME_INVALID: 400,
  ERR_IMAGE_EXISTS: 409,
  ERR_VERSION_IN_USE: 409,
  ERR_INDEX_INVALID: 422,
  ERR_PACK_INVALID: 422,
  ERR_DISK_INVALID: 422,
  ERR_FORMAT_UNSUPPORTED: 422,
  ERR_SIGNATURE_INVALID: 422,
  ERR_VERSION_REFUSED: 409,
  ERR_CONTROL_INVALID: 422,
  ERR_CONTROL_OUTDATED: 409,
  ERR_METHOD_NOT_ALLOWED: 405,
  ERR_PRECONDITION_FAILED: 412,
  ERR_RANGE_UNSATISFIABLE: 416,
  ERR_REQUEST_INVALID: 400,
  ERR_BITS_PACKET_INVALID: 400,
  ERR_BITS_RANGE_GAP: 416,
  ERR_BITS_SESSION_NOT_FOUND: 500,
  ERR_UPLOAD_CONFLICT: 409,
  ERR_UPLOAD_DISABLED: 501,
  ERR_UPLOAD_REFUSED: 409,
  ERR_UPLOAD_TOO_LARGE: 413,
  ERR_RATE_LIMITED: 429,
  ERR_ORIGIN_BUSY: 503,
  ERR_SHUTTING_DOWN: 503,
  ERR_WIRE_MESSAGE_INVALID: 400,
  ERR_PEER_REFUSED: 403,
  ERR_TICKET_INVALID: 401,
  ERR_FRAME_HASH_MISMATCH: 502,
  ERR_ORIGIN_UNREACHABLE: 502,
  ERR_ORIGIN_INVALID: 502,
  ERR_ORIGIN_CHANGED: 502,
  ERR_TIMEOUT: 504,
  ERR_STORE_BUSY: 409,
  ERR_STORE_FULL: 507,
  ERR_STORE_CORRUPT: 500,
  ERR_FILE_NOT_FOUND: 404,
  ERR_FILE_DENIED: 403,
  ERR_ADDRESS_IN_USE: 409,
  ERR_ABORTED: 499,
  ERR_INTERNAL: 500,
} as const;

export type ErrorCode = keyof typeof STATUS;

export const ERROR_CODES: readonly ErrorCode[] = Object.keys(STATUS).filter((code) => isCode(code));

export interface AppErrorOptions {
  readonly cause?: unknown;
  /** Facts for machines; never secrets. What a remote side sent goes in `details.remoteCode`. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error class of this repository: `code` is stable API, `message` is prose for people. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }
}

function isCode(text: string): text is ErrorCode {
  return Object.hasOwn(STATUS, text);
}

/** HTTP status of a code; the only place where the two meet. */
export function statusOf(code: ErrorCode): number {
  return STATUS[code];
}

/** Structural, so that it also holds for a second copy of this package. */
export function isAppError(err: unknown, code?: ErrorCode): err is AppError {
  if (!(err instanceof Error) || !("code" in err) || typeof err.code !== "string") return false;
  return code === undefined ? isCode(err.code) : err.code === code;
}

/** The message of anything that was thrown, with its chain of causes: for logs and people. */
export function describeError(err: unknown): string {
  if (!(err instanceof Error)) return String(err);
  const cause = err.cause === undefined ? "" : `: ${describeError(err.cause)}`;
  return `${err.message}${cause}`;
}
