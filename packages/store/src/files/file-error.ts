import { AppError } from "@ckmesh/core";
import { fileErrorCode, storeError } from "./store-error.js";

/** What a failed operation on a file that the user named stands for; anything unknown is passed through. */
export function fileError(err: unknown, path: string): unknown {
  switch (fileErrorCode(err)) {
    case "ENOENT":
      return new AppError("ERR_FILE_NOT_FOUND", `${path} does not exist`, { cause: err });
    case "EACCES":
    case "EPERM":
      return new AppError("ERR_FILE_DENIED", `${path} may not be opened: check its owner and mode`, {
        cause: err,
      });
    case "EISDIR":
      return new AppError("ERR_FILE_NOT_FOUND", `${path} is a folder, not a file`, { cause: err });
    case "ENOTDIR":
      return new AppError("ERR_FILE_NOT_FOUND", `${path} lies in something that is no folder`, {
        cause: err,
      });
    case undefined:
    default:
      return storeError(err, path);
  }
}
