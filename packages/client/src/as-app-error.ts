import { AppError, describeError, isAppError } from "@ckmesh/core";

/** Errors that another source of rows does not help against. */
export function isLocalFault(err: AppError): boolean {
  return (
    err.code === "ERR_STORE_FULL" ||
    err.code === "ERR_STORE_CORRUPT" ||
    err.code === "ERR_INDEX_INVALID" ||
    err.code === "ERR_CONFIG_INVALID" ||
    err.code === "ERR_INTERNAL"
  );
}

/** What was thrown, as an error with a code. */
export function asAppError(err: unknown): AppError {
  return isAppError(err) ? err : new AppError("ERR_INTERNAL", describeError(err), { cause: err });
}
