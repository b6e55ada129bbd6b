import { seededRandom } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { POLL_INTERVAL_MS, PollSchedule } from "../src/index.js";

const HOUR = 3_600_000;

/** Runs a schedule on a virtual clock; each check takes `checkMs`. */
function poller(
  clock: VirtualClock,
  checkMs = 0,
  firstMs?: number,
): { runs: number[]; schedule: PollSchedule } {
  const runs: number[] = [];
  const schedule = new PollSchedule({
    random: seededRandom(7),
    now: clock.now(),
    wall: clock.wall(),
    ...(firstMs === undefined ? {} : { firstMs }),
  });
  const look = (): void => {
    if (schedule.tick(clock.now(), clock.wall())) {
      runs.push(clock.now());
      clock.after(checkMs, () => schedule.finished(clock.now(), clock.wall()));
    }
    clock.after(Math.max(1, schedule.waitMs(clock.now())), look);
  };
  look();
  return { runs, schedule };
}

describe("PollSchedule", () => {
  it("checks 96 times in a day, at its own phase of every 15 minutes", () => {
    const clock = new VirtualClock();
    const { runs } = poller(clock);
    clock.advance(24 * HOUR);
    expect(runs).toHaveLength(96);
    const gaps = runs.slice(1).map((at, i) => at - (runs[i] ?? 0));
    expect(gaps.every((gap) => Math.abs(gap - POLL_INTERVAL_MS) < 10)).toBe(true);
  });

  it("gives clients different phases", () => {
    const due = [1, 2, 3, 4].map(
      (seed) => new PollSchedule({ random: seededRandom(seed), now: 0, wall: 0 }).due,
    );
    expect(new Set(due).size).toBe(4);
  });

  it("makes the first check at once when told to", () => {
    const clock = new VirtualClock();
    const { runs } = poller(clock, 0, 0);
    clock.advance(1);
    expect(runs).toEqual([0]);
  });

  it("checks once within a minute of waking from eight hours of sleep", () => {
    const clock = new VirtualClock();
    const { runs } = poller(clock);
    clock.advance(2 * HOUR);
    const before = runs.length;
    clock.sleep(8 * HOUR);
    const woke = clock.now();
    clock.advance(60_000);
    expect(runs.length).toBe(before + 1);
    expect((runs.at(-1) ?? 0) - woke).toBeGreaterThanOrEqual(1000);
  });

  it("does not check early after a short sleep that ends before the due time", () => {
    const clock = new VirtualClock();
    const { runs, schedule } = poller(clock);
    clock.advance(schedule.due - clock.now() + 1000);
    const before = runs.length;
    clock.sleep(180_000);
    clock.advance(POLL_INTERVAL_MS - 180_000 - 5000);
    expect(runs.length).toBe(before);
    clock.advance(40_000);
    expect(runs.length).toBe(before + 1);
  });

  it("checks once after an event loop that stood still for an hour", () => {
    const clock = new VirtualClock();
    const { runs } = poller(clock);
    clock.advance(HOUR);
    const before = runs.length;
    clock.stall(HOUR);
    expect(runs.length).toBe(before + 1);
  });

  it("goes on within a period when the clock is set back six hours", () => {
    const clock = new VirtualClock();
    const { runs } = poller(clock);
    clock.advance(2 * HOUR);
    const before = runs.length;
    clock.setWall(-6 * HOUR);
    clock.advance(1_000_000);
    expect(runs.length).toBeGreaterThan(before);
  });

  it("makes one early check when the clock is set forward six hours", () => {
    const clock = new VirtualClock();
    const { runs } = poller(clock);
    clock.advance(2 * HOUR);
    const before = runs.length;
    clock.setWall(6 * HOUR);
    clock.advance(60_000);
    expect(runs.length).toBe(before + 1);
  });

  it("runs one check at a time and one more when asked meanwhile", () => {
    const clock = new VirtualClock();
    const { runs, schedule } = poller(clock, 5000, 0);
    clock.advance(1000);
    schedule.checkNow(clock.now(), clock.wall());
    clock.advance(1000);
    expect(runs).toHaveLength(1);
    clock.advance(40_000);
    expect(runs).toHaveLength(2);
  });
});
