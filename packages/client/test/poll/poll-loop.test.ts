import { seededRandom, silentLogger } from "@ckmesh/core";
import { PollSchedule } from "@ckmesh/swarm";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { PollLoop } from "../../src/poll/poll-loop.js";

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

function createLoop(check: () => Promise<void>): { clock: VirtualClock; loop: PollLoop } {
  const clock = new VirtualClock();
  const schedule = new PollSchedule({ random: seededRandom(1), now: clock.now(), wall: clock.wall() });
  return { clock, loop: new PollLoop(schedule, clock, silentLogger, check) };
}

/** Advances in steps, so that finished checks are noticed on the way. */
async function pass(clock: VirtualClock, ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 30_000) {
    clock.advance(Math.min(30_000, ms - at));
    await turn();
  }
}

describe("poll loop", () => {
  it("checks 96 times in a virtual day, also when checks fail", async () => {
    let checks = 0;
    const { clock, loop } = createLoop(() => {
      checks += 1;
      return checks % 2 === 0 ? Promise.reject(new Error("away")) : Promise.resolve();
    });
    loop.start();
    await pass(clock, 24 * 3_600_000);
    expect(checks).toBe(96);
    await loop.close();
  });

  it("checks within a minute of waking after a night's sleep, once", async () => {
    let checks = 0;
    const { clock, loop } = createLoop(() => {
      checks += 1;
      return Promise.resolve();
    });
    loop.start();
    await pass(clock, 960_000);
    const before = checks;
    clock.sleep(8 * 3_600_000);
    await pass(clock, 60_000);
    expect(checks).toBe(before + 1);
    await loop.close();
  });

  it("tries a failed check again after the pause that it is given, and only then", async () => {
    let checks = 0;
    const clock = new VirtualClock();
    const schedule = new PollSchedule({
      random: seededRandom(1),
      now: clock.now(),
      wall: clock.wall(),
      phase: 0.5,
      firstMs: 0,
    });
    const check = (): Promise<void> => {
      checks += 1;
      return checks < 3 ? Promise.reject(new Error("away")) : Promise.resolve();
    };
    const loop = new PollLoop(schedule, clock, silentLogger, check, () => 30_000);
    loop.start();
    await turn();
    expect(checks).toBe(1);
    await pass(clock, 30_000);
    expect(checks).toBe(2);
    await pass(clock, 60_000);
    expect(checks).toBe(3);
    await pass(clock, 300_000);
    expect(checks).toBe(3);
    await loop.close();
  });

  it("runs one check at a time and one more when it is asked during one", async () => {
    let running = 0;
    let most = 0;
    let checks = 0;
    let release: (() => void) | undefined;
    const { clock, loop } = createLoop(async () => {
      checks += 1;
      running += 1;
      most = Math.max(most, running);
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      running -= 1;
    });
    loop.start();
    loop.checkNow();
    loop.checkNow();
    await turn();
    release?.();
    await turn();
    clock.advance(1);
    release?.();
    await turn();
    expect([checks, most]).toEqual([2, 1]);
    await loop.close();
  });
});
