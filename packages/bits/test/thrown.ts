import { isAppError } from "@ckmesh/core";
import { expect } from "vitest";
import { BitsFault } from "../src/index.js";

/** The fault that `run` throws. */
export function faultOf(run: () => unknown): BitsFault {
  const err = thrownBy(run);
  expect(err).toBeInstanceOf(BitsFault);
  return err as BitsFault;
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
