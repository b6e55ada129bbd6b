import { AppError, describeError, type ErrorCode, isAppError } from "@ckmesh/core";

/** What the operating system calls an error, as one of our codes. */
const SYSTEM_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOENT: "ERR_FILE_NOT_FOUND",
  ENOTDIR: "ERR_FILE_NOT_FOUND",
  EISDIR: "ERR_USAGE",
  EEXIST: "ERR_USAGE",
  EACCES: "ERR_FILE_DENIED",
  EPERM: "ERR_FILE_DENIED",
  EROFS: "ERR_FILE_DENIED",
  ENOSPC: "ERR_STORE_FULL",
  EDQUOT: "ERR_STORE_FULL",
  EADDRINUSE: "ERR_ADDRESS_IN_USE",
};

/**
 * Anything thrown, as an AppError for people: errors of the operating system by their own code, anything
 * unknown as ERR_INTERNAL with its message.
 */
export function toAppError(err: unknown): AppError {
  if (isAppError(err)) return err;
  if (err instanceof Error) {
    if (err.name === "AbortError") return new AppError("ERR_ABORTED", "stopped", { cause: err });
    const system = "code" in err && typeof err.code === "string" ? SYSTEM_CODES[err.code] : undefined;
    if (system !== undefined) return new AppError(system, err.message, { cause: err });
  }
  return new AppError("ERR_INTERNAL", describeError(err), { cause: err });
}

/** The message of an error with those of its causes that add something. */
export function failureText(error: AppError): string {
  const parts = [error.message];
  for (let cause = error.cause; cause instanceof Error && parts.length < 6; cause = cause.cause) {
    const { message } = cause;
    if (message !== "" && !parts.some((part) => part.includes(message))) parts.push(message);
  }
  return parts.join(": ");
}
