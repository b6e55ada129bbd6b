import { isAppError } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { expect, it } from "vitest";
import { wait } from "../src/wait.js";

it("stops waiting when told", async () => {
  const clock = new VirtualClock();
  const abort = new AbortController();
  const waiting = wait(clock, 1000, abort.signal).catch((err: unknown) => err);
  abort.abort();
  expect(isAppError(await waiting, "ERR_ABORTED")).toBe(true);
  await expect(wait(clock, 1000, abort.signal)).rejects.toThrow("stopped");
});
