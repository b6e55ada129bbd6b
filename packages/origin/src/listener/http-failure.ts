import { AppError, type ErrorCode, isAppError, statusOf } from "@ckmesh/core";

/** How a failed request is answered. */
export interface HttpFailure {
  readonly status: number;
  /** IIS's second number, for the log. */
  readonly subStatus: number;
  readonly code: string;
  readonly message: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** IIS substatus codes that say more than the status. */
export const SUB_STATUS = {
  logonFailed: 1,
  logonNeeded: 2,
  deniedToAnonymous: 3,
  readForbidden: 2,
  tlsRequired: 4,
  notServed: 3,
  certificateUntrusted: 16,
} as const;

/** When a client may ask again whose credentials nobody could check. */
const LOGON_RETRY_MS = 5000;

/** An error with what its answer needs beyond code and message. */
export class RequestError extends AppError {
  readonly subStatus: number;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;

  constructor(
    code: ErrorCode,
    message: string,
    extra: {
      readonly subStatus?: number;
      readonly headers?: Readonly<Record<string, string | readonly string[]>>;
    } = {},
  ) {
    super(code, message);
    this.subStatus = extra.subStatus ?? 0;
    this.headers = extra.headers ?? {};
  }
}

/** What a caller is told of an error. Anything that is not ours is ERR_INTERNAL and shows nothing. */
export function httpFailure(err: unknown): HttpFailure {
  if (err instanceof RequestError) {
    const { subStatus, code, message, headers } = err;
    return { status: statusOf(code), subStatus, code, message, headers };
  }
  if (isAppError(err)) {
    if (err.code === "ERR_AUTH_UNAVAILABLE") return logonUnavailable(err);
    const status = statusOf(err.code);
    const headers = retryAfter(err.details["retryMs"]);
    if (status < 500) return { status, subStatus: 0, code: err.code, message: err.message, headers };
  }
  const status = clientFaultOf(err);
  if (status !== undefined) {
    return {
      status,
      subStatus: 0,
      code: "ERR_REQUEST_INVALID",
      message: validationMessage(err) ?? "the request cannot be read",
      headers: {},
    };
  }
  return {
    status: 500,
    subStatus: 0,
    code: "ERR_INTERNAL",
    message: "the server failed; its log says why",
    headers: {},
  };
}

/** What exactly failed is for the log: the client learns that its credentials were not judged. */
function logonUnavailable(err: AppError): HttpFailure {
  return {
    status: statusOf(err.code),
    subStatus: 0,
    code: err.code,
    message: "credentials cannot be checked just now; try again",
    headers: retryAfter(err.details["retryMs"] ?? LOGON_RETRY_MS),
  };
}

function retryAfter(retryMs: unknown): Readonly<Record<string, string>> {
  return typeof retryMs === "number" ? { "Retry-After": String(Math.max(1, Math.ceil(retryMs / 1000))) } : {};
}

/** fastify's own refusals (bad URL, body, header) carry a 4xx `statusCode`. */
function clientFaultOf(err: unknown): number | undefined {
  if (typeof err !== "object" || err === null || !("statusCode" in err)) return undefined;
  const { statusCode } = err;
  return typeof statusCode === "number" && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}

/** What a route's schema says of its input: names the parameter, shows nothing else. */
function validationMessage(err: unknown): string | undefined {
  return err instanceof Error && "validation" in err ? err.message : undefined;
}
