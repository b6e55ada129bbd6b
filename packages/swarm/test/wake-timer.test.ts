import { VirtualClock } from "@ckmesh/testkit";
import { expect, it } from "vitest";
import { WakeTimer } from "../src/wake-timer.js";

function timer(): { clock: VirtualClock; wake: WakeTimer; woken: number[]; timers: () => number } {
  const clock = new VirtualClock();
  let set = 0;
  const counted = {
    now: () => clock.now(),
    wall: () => clock.wall(),
    after: (ms: number, run: () => void) => {
      set += 1;
      return clock.after(ms, run);
    },
  };
  const woken: number[] = [];
  const wake = new WakeTimer(counted, () => woken.push(clock.now()));
  return { clock, wake, woken, timers: () => set };
}

it("wakes once, at the moment set last, sooner or later than the one before", () => {
  const { clock, wake, woken } = timer();
  wake.set(100);
  wake.set(40);
  clock.advance(1000);
  wake.set(1100);
  wake.set(1500);
  clock.advance(1000);
  expect(woken).toEqual([40, 1500]);
});

it("sets no timer for a moment that moves away, until the first one fires", () => {
  const { clock, wake, woken, timers } = timer();
  for (let at = 100; at < 200; at += 1) wake.set(at);
  expect(timers()).toBe(1);
  clock.advance(1000);
  expect([woken, timers()]).toEqual([[199], 2]);
});

it("wakes at once for a moment that has passed, and may be set again by the wake itself", () => {
  const clock = new VirtualClock();
  clock.advance(50);
  const woken: number[] = [];
  const wake = new WakeTimer(clock, () => {
    woken.push(clock.now());
    if (woken.length < 3) wake.set(clock.now() + 10);
  });
  wake.set(20);
  clock.advance(100);
  expect(woken).toEqual([50, 60, 70]);
});

it("does not wake when it is set to never, or stopped", () => {
  const { clock, wake, woken } = timer();
  wake.set(10);
  wake.set(undefined);
  clock.advance(100);
  wake.set(200);
  wake.stop();
  clock.advance(1000);
  expect(woken).toEqual([]);
  wake.set(1200);
  clock.advance(1000);
  expect(woken).toEqual([1200]);
});
