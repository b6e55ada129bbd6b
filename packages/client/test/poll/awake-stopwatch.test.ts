import { VirtualClock } from "@ckmesh/testkit";
import { expect, it } from "vitest";
import { AwakeStopwatch } from "../../src/poll/awake-stopwatch.js";

it("measures time to a tick, once", () => {
  const clock = new VirtualClock();
  const stopwatch = new AwakeStopwatch(clock);
  clock.advance(42);
  expect(stopwatch.stop()).toBe(42);
  expect(stopwatch.stop()).toBeUndefined();
});

it("does not count time for which no timer ran", () => {
  let now = 0;
  const timers: (() => void)[] = [];
  const clock = {
    now: () => now,
    wall: () => now,
    after: (_ms: number, run: () => void) => {
      timers.push(run);
      return () => timers.splice(0);
    },
  };
  const stopwatch = new AwakeStopwatch(clock);
  now = 300;
  timers.shift()?.();
  now = 302;
  expect(stopwatch.stop()).toBe(10);
});
