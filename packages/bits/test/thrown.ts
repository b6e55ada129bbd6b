import { isAppError } from "@ckmesh/core";
import { BitsFault } from "../src/index.js";

/** The fault that `run` throws. */
export function faultOf(run: () => unknown): BitsFault {
  const err = thrownBy(run);
  if (err instanceof BitsFault) return err;
  throw new Error(`no fault but ${String(err)}`);
}

/** The code that `run` throws. */
export function codeOf(run: () => unknown): string | undefined {
  const err = thrownBy(run);
  return isAppError(err) ? err.code : undefined;
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (err) {
    return err;
  }
  return undefined;
}

/** What `run` returns, or the AppError that it throws; anything else that it throws passes on. */
export function outcomeOf<T>(run: () => T): T | Error {
  try {
    return run();
  } catch (err) {
    if (isAppError(err)) return err;
    throw err;
  }
}
