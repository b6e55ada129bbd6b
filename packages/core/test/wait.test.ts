import { expect, it } from "vitest";
import { type Clock, isAppError, wait } from "../src/index.js";

/** Holds the one timer that is set. */
function heldClock(): Clock & { fire?: () => void } {
  const clock: Clock & { fire?: () => void } = {
    now: () => 0,
    wall: () => 0,
    after: (_ms, run) => {
      clock.fire = run;
      return () => {
        delete clock.fire;
      };
    },
  };
  return clock;
}

it("waits until the timer fires", async () => {
  const clock = heldClock();
  const waiting = wait(clock, 1000, new AbortController().signal);
  clock.fire?.();
  await expect(waiting).resolves.toBeUndefined();
});

it("stops waiting when told", async () => {
  const clock = heldClock();
  const abort = new AbortController();
  const waiting = wait(clock, 1000, abort.signal).catch((err: unknown) => err);
  abort.abort();
  expect(isAppError(await waiting, "ERR_ABORTED")).toBe(true);
  expect(clock.fire).toBeUndefined();
  await expect(wait(clock, 1000, abort.signal)).rejects.toThrow("stopped");
});
