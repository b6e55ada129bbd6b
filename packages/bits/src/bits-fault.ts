import { AppError, type ErrorCode } from "@ckmesh/core";
import { HRESULT, hresultOfStatus } from "./hresult.js";
import type { RefusedReply } from "./reply.js";

/** Who found the fault: our side, or the program that a notification went to ([MC-BUP] 2.2.1.2). */
export const ERROR_CONTEXT = { server: 0x5, application: 0x7 } as const;

/** A refused packet, with what its Ack says. */
export class BitsFault extends AppError {
  readonly status: number;
  /** Unsigned 32 bits; absent where the status says it all. */
  readonly hresult: number | undefined;
  readonly context: number;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    answer: {
      readonly status: number;
      readonly hresult?: number;
      readonly context?: number;
      readonly retryAfterSeconds?: number;
      readonly cause?: unknown;
    },
  ) {
    super(code, message, { cause: answer.cause });
    this.status = answer.status;
    this.hresult = answer.hresult;
    this.context = answer.context ?? ERROR_CONTEXT.server;
    this.retryAfterSeconds = answer.retryAfterSeconds;
  }
}

/** @param received the session's next byte wanted, for the Ack to a Fragment */
export function refusal(fault: BitsFault, received?: number): RefusedReply {
  return {
    type: "refused",
    status: fault.status,
    context: fault.context,
    code: fault.code,
    message: fault.message,
    ...(fault.hresult === undefined ? {} : { hresult: fault.hresult }),
    ...(fault.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: fault.retryAfterSeconds }),
    ...(received === undefined ? {} : { received }),
  };
}

/** A packet that breaks the protocol: 400, E_INVALIDARG. */
export function invalidPacket(message: string): BitsFault {
  return new BitsFault("ERR_BITS_PACKET_INVALID", message, { status: 400, hresult: HRESULT.invalidArgument });
}

/** [MC-BUP] 3.2.5.2.3: 411, where Windows answers 400. */
export function contentLengthMissing(): BitsFault {
  return new BitsFault("ERR_BITS_PACKET_INVALID", "a packet must state its Content-Length", {
    status: 411,
    hresult: HRESULT.invalidArgument,
  });
}

/** The bytes sent are coded; the sources leave the status open. */
export function contentCoded(coding: string): BitsFault {
  return new BitsFault("ERR_BITS_PACKET_INVALID", `fragments with Content-Encoding ${coding} are not taken`, {
    status: 415,
    hresult: HRESULT.invalidArgument,
  });
}

/** Unknown, expired, closed or cancelled, of another user or URL. The client begins again on this code only. */
export function sessionNotFound(): BitsFault {
  return new BitsFault("ERR_BITS_SESSION_NOT_FOUND", "there is no such upload session", {
    status: 500,
    hresult: HRESULT.sessionNotFound,
  });
}

/** No right to upload here, or the file exists and may not be overwritten. */
export function accessDenied(message: string, code: ErrorCode = "ERR_AUTH_FORBIDDEN"): BitsFault {
  return new BitsFault(code, message, { status: 403, hresult: HRESULT.accessDenied });
}

/** BITSUploadEnabled is off, or the URL lies outside the upload directory. */
export function uploadsDisabled(): BitsFault {
  return new BitsFault("ERR_UPLOAD_DISABLED", "uploads are not enabled here", {
    status: 501,
    hresult: HRESULT.accessDenied,
  });
}

/** The whole file is larger than BITSMaximumUploadSize. */
export function uploadTooLarge(total: number | bigint, maxBytes: number): BitsFault {
  return new BitsFault("ERR_UPLOAD_TOO_LARGE", `${total} bytes are more than the ${maxBytes} of one upload`, {
    status: 500,
    hresult: HRESULT.tooLarge,
  });
}

/** The client sends smaller fragments after this ([MC-BUP] 3.1.5.2.4). */
export function fragmentTooLarge(bytes: number, maxBytes: number): BitsFault {
  return new BitsFault(
    "ERR_UPLOAD_TOO_LARGE",
    `a fragment of ${bytes} bytes is longer than the ${maxBytes} taken here`,
    { status: 413 },
  );
}

/** A fragment begins behind the next byte wanted, which the Ack states. */
export function outOfStep(first: number, received: number): BitsFault {
  return new BitsFault("ERR_BITS_RANGE_GAP", `the fragment begins at ${first}, wanted is ${received}`, {
    status: 416,
  });
}

/** The session stays, and goes on when there is space. */
export function diskFull(cause?: unknown): BitsFault {
  return new BitsFault("ERR_STORE_FULL", "there is no space left for uploads", {
    status: 500,
    hresult: HRESULT.diskFull,
    cause,
  });
}

/** What was uploaded is no longer there ([MC-BUP] 3.2.5.2.7). */
export function uploadVanished(cause?: unknown): BitsFault {
  return new BitsFault("ERR_FILE_NOT_FOUND", "the uploaded bytes are no longer there", {
    status: 404,
    cause,
  });
}

/** A fault of ours that may pass: the client comes again later. */
export function serverFailed(cause: unknown): BitsFault {
  return new BitsFault("ERR_INTERNAL", "the upload could not be handled", { status: 500, cause });
}

/** As many sessions as this server holds, of all users or of one. */
export function tooManySessions(retryAfterSeconds: number): BitsFault {
  return new BitsFault("ERR_ORIGIN_BUSY", "there are too many upload sessions", {
    status: 503,
    retryAfterSeconds,
  });
}

/**
 * The program that was told of a file answered with another status than a success. BITS decides by it whether to try
 * again (Microsoft Learn, "Handling Server Application Errors").
 */
export function applicationRefused(status: number): BitsFault {
  return new BitsFault("ERR_UPLOAD_REFUSED", `the program that is told of uploads answered ${status}`, {
    status,
    hresult: hresultOfStatus(status),
    context: ERROR_CONTEXT.application,
  });
}

/** That program cannot be reached: BITS tries until it can. */
export function applicationUnreachable(cause: unknown): BitsFault {
  return new BitsFault("ERR_ORIGIN_UNREACHABLE", "the program that is told of uploads cannot be reached", {
    status: 503,
    hresult: hresultOfStatus(503),
    context: ERROR_CONTEXT.application,
    cause,
  });
}

/** That program has not answered in time ([MC-BUP] 3.3.6). */
export function applicationTimedOut(): BitsFault {
  return new BitsFault("ERR_TIMEOUT", "the program that is told of uploads does not answer", {
    status: 408,
    hresult: HRESULT.notificationTimeout,
    context: ERROR_CONTEXT.application,
  });
}
