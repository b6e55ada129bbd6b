import { isAppError } from "@ckmesh/core";

/** "ok", or the code of the AppError that `run` throws; anything else is passed on. */
export function outcome(run: () => unknown): string {
  try {
    run();
    return "ok";
  } catch (err) {
    if (isAppError(err)) return err.code;
    throw err;
  }
}
