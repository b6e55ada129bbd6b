import { describe, expect, it } from "vitest";
import { BASE_DELAY_MS, MAX_HELD_MS, YIELD_FLOOR, YIELD_TARGET_MS } from "../../src/constants.js";
import { WanYield } from "../../src/wan/wan-yield.js";

const LINK = 6_000_000;
const FACTS = { ownQueueMs: 0, rate: LINK, linkRate: LINK };
const LATE = 10 + YIELD_TARGET_MS + 1;

/** Samples of one kind, one every 200 ms; returns when the last came. */
function feed(made: WanYield, ms: number, count: number, from: number): number {
  for (let i = 1; i <= count; i++) made.sample(ms, FACTS, from + i * 200);
  return from + count * 200;
}

describe("yielding by time to first byte", () => {
  it("holds nothing back while the first byte comes in time", () => {
    const made = new WanYield();
    feed(made, 10, 50, 0);
    feed(made, 10 + YIELD_TARGET_MS, 50, 10_000);
    expect(made.rate).toBe(Infinity);
  });

  it("halves its rate, down to the floor, while the first byte comes late, and grows again after that", () => {
    const made = new WanYield();
    let now = feed(made, 10, 5, 0);
    now = feed(made, LATE, 5, now);
    expect(made.rate).toBe(LINK / 2);
    now = feed(made, LATE, 40, now);
    expect(made.rate).toBeCloseTo(YIELD_FLOOR * LINK);
    now = feed(made, 10, 40, now);
    expect(made.rate).toBe(Infinity);
  });

  it("takes late bytes among others for chance: a busy machine", () => {
    const made = new WanYield();
    for (let now = 0; now < 100_000; now += 200) made.sample(now % 1000 === 0 ? 10 : 500, FACTS, now);
    expect(made.rate).toBe(Infinity);
  });

  it("is suspicious after a single late byte", () => {
    const made = new WanYield();
    const now = feed(made, 10, 10, 0);
    made.sample(500, FACTS, now + 200);
    expect([made.rate, made.isSuspicious]).toEqual([Infinity, true]);
    made.sample(10, FACTS, now + 400);
    expect(made.isSuspicious).toBe(false);
  });

  it("does not count what the site itself has in the queue", () => {
    const made = new WanYield();
    feed(made, 10, 5, 0);
    for (let i = 0; i < 50; i++) made.sample(LATE + 30, { ...FACTS, ownQueueMs: 31 }, 2000 + i * 200);
    expect(made.rate).toBe(Infinity);
  });

  it("knows the least delay from requests before its own, and only of the last ten minutes with samples", () => {
    const made = new WanYield();
    made.seen(10, 0);
    feed(made, LATE, 10, 0);
    expect(made.rate).toBeLessThan(LINK);
    const later = new WanYield();
    later.seen(10, 0);
    // The way to the origin has become longer: after ten minutes that is its delay.
    for (let at = 60_000; at <= BASE_DELAY_MS + 60_000; at += 60_000) later.seen(LATE, at);
    feed(later, LATE, 10, BASE_DELAY_MS + 120_000);
    expect(later.rate).toBe(Infinity);
  });

  it("does not take what it measures beside others for the least delay, but not for ever", () => {
    const made = new WanYield();
    let now = feed(made, 10, 5, 0);
    const end = now + MAX_HELD_MS - 60_000;
    for (; now < end; now += 5000) made.sample(LATE, FACTS, now);
    expect(made.rate).toBeCloseTo(YIELD_FLOOR * LINK);
    for (; now < end + BASE_DELAY_MS + 180_000; now += 5000) made.sample(LATE, FACTS, now);
    expect(made.rate).toBe(Infinity);
  });

  it("waits for a measure where there is nothing yet that could be halved", () => {
    const made = new WanYield();
    made.seen(10, 0);
    for (let i = 1; i < 20; i++) made.sample(LATE, { ownQueueMs: 0, rate: 0, linkRate: 0 }, i * 200);
    expect(made.rate).toBe(Infinity);
  });
});
