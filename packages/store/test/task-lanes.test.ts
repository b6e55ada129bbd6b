import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { runInLanes, TaskLanes } from "../src/task-lanes.js";

describe("TaskLanes", () => {
  it("gives each lane neighbours, one after the other", () => {
    const tasks = new TaskLanes(6, 2);
    const dealt = [0, 1, 0, 1, 0, 1].map((lane) => tasks.take(lane));
    expect(dealt).toEqual([0, 3, 1, 4, 2, 5]);
    expect(tasks.take(0)).toBeUndefined();
  });

  it("lets a lane that is done take the last task of the one that has most left", () => {
    const tasks = new TaskLanes(9, 3);
    const dealt = [0, 1, 1, 1, 1, 1].map((lane) => tasks.take(lane));
    expect(dealt).toEqual([0, 3, 4, 5, 8, 2]);
  });

  it("deals every task once, whichever lanes ask", () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 40 }),
        fc.integer({ min: 1, max: 5 }),
        fc.infiniteStream(fc.nat()),
        (count, lanes, asking) => {
          const tasks = new TaskLanes(count, lanes);
          const dealt = Array.from({ length: count }, () => tasks.take((asking.next().value ?? 0) % lanes));
          expect(new Set(dealt)).toEqual(new Set(Array.from({ length: count }, (_, i) => i)));
          expect(tasks.take(0)).toBeUndefined();
        },
      ),
    );
  });
});

describe("runInLanes", () => {
  it("has two tasks in each lane at once, and no more", async () => {
    const running = [0, 0];
    let most = 0;
    await runInLanes(20, 2, async (_, lane) => {
      running[lane] = (running[lane] ?? 0) + 1;
      most = Math.max(most, ...running);
      await Promise.resolve();
      running[lane] -= 1;
    });
    expect(most).toBe(2);
  });

  it("begins nothing after a failure, and rejects with it when what still runs has ended", async () => {
    const begun: number[] = [];
    let ended = 0;
    const failure = new Error("task 1 failed");
    const all = runInLanes(20, 2, async (i) => {
      begun.push(i);
      if (i === 1) throw failure;
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      ended += 1;
    });
    await expect(all).rejects.toBe(failure);
    expect(begun.toSorted((a, b) => a - b)).toEqual([0, 1, 10, 11]);
    expect(ended).toBe(3);
  });
});
