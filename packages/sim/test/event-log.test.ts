import { describe, expect, it } from "vitest";
import { EventLog } from "../src/index.js";
import { site, starts } from "./scenario.js";

/** A site with jitter, a death, a restart and a cut link, and what every machine was told in it. */
function run(seed: number, keepsLines = false): EventLog {
  const log = new EventLog(keepsLines);
  const where = site(8, { seed, lanJitterMs: 5, hasMulticast: true, log });
  const nodes = starts(where, 6);
  where.clock.advance(3000);
  const [first, second] = nodes;
  if (first !== undefined) where.kill(first);
  if (second !== undefined) where.restart(second);
  where.setWan(0);
  where.clock.advance(1000);
  where.setWan(50e6);
  where.run(60_000);
  return log;
}

describe("a simulation", () => {
  it("has the same log of every event for the same seed", () => {
    const [one, two] = [run(1), run(1)];
    expect(one.events).toBeGreaterThan(1000);
    expect(two.events).toBe(one.events);
    expect(two.digest()).toBe(one.digest());
  });

  it("has another log for another seed", () => {
    expect(run(2).digest()).not.toBe(run(1).digest());
  });

  it("logs time, machine and the whole event, line by line", () => {
    const { lines, events } = run(1, true);
    expect(lines.length).toBe(events);
    expect(lines[0]).toBe('0 0 {"type":"networks","own":["10.0.0.0/8"],"site":[]}');
    const times = lines.map((line) => Number.parseFloat(line));
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });
});
