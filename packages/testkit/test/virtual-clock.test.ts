import fc from "fast-check";
import { expect, it } from "vitest";
import { VirtualClock } from "../src/index.js";

it("fires timers in due order, ties in the order they were set", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50), { maxLength: 80 }), (delays) => {
      const clock = new VirtualClock();
      const fired: { due: number; set: number }[] = [];
      for (const [set, due] of delays.entries())
        clock.after(due, () => fired.push({ due: clock.now(), set }));
      clock.advance(50);
      expect(fired).toEqual(
        [...delays.entries()]
          .map(([set, due]) => ({ due, set }))
          .toSorted((a, b) => a.due - b.due || a.set - b.set),
      );
    }),
  );
});

it("does not fire a cancelled timer, and fires one that a timer sets", () => {
  const clock = new VirtualClock();
  const fired: number[] = [];
  const cancel = clock.after(5, () => fired.push(5));
  clock.after(3, () => clock.after(3, () => fired.push(clock.now())));
  cancel();
  clock.advance(10);
  expect(fired).toEqual([6]);
  expect(clock.now()).toBe(10);
});

it("moves only the wall clock while the machine sleeps", () => {
  const clock = new VirtualClock(1000);
  clock.sleep(500);
  expect([clock.now(), clock.wall()]).toEqual([0, 1500]);
});

it("fires late timers at the end of a stall", () => {
  const clock = new VirtualClock();
  const fired: number[] = [];
  clock.after(10, () => fired.push(clock.now()));
  clock.stall(100);
  expect(fired).toEqual([100]);
});
