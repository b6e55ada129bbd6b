import { describe, expect, it } from "vitest";
import { MAX_TALLIED_CLIENTS, OutcomeTally } from "../../src/control/outcome-tally.js";

const LIMIT = { percent: 10, minReports: 10 };

function tallyOf(active: number, failed: number): OutcomeTally {
  const tally = new OutcomeTally();
  for (let i = 0; i < active; i += 1) tally.add(`a${i}`, { outcome: "active" }, true);
  for (let i = 0; i < failed; i += 1)
    tally.add(`f${i}`, { outcome: "failed", code: "ERR_PACK_INVALID" }, true);
  return tally;
}

describe("OutcomeTally", () => {
  it("exceeds a limit with one failure more than it lets pass, and not before so many reports", () => {
    expect(tallyOf(18, 2).exceeds(LIMIT)).toBe(false);
    expect(tallyOf(18, 3).exceeds(LIMIT)).toBe(true);
    expect(tallyOf(0, 9).exceeds(LIMIT)).toBe(false);
    expect(tallyOf(0, 10).exceeds(LIMIT)).toBe(true);
    expect(tallyOf(0, 1).exceeds({ percent: 0, minReports: 1 })).toBe(true);
    expect(tallyOf(0, 10).exceeds({ percent: 100, minReports: 1 })).toBe(false);
  });

  it("counts the last word of each client once", () => {
    const tally = tallyOf(0, 1);
    tally.add("f0", { outcome: "failed", code: "ERR_STORE_FULL" }, true);
    expect(tally.counts).toEqual({ verified: 0, active: 0, failed: 1, codes: { ERR_STORE_FULL: 1 } });
    tally.add("f0", { outcome: "active" }, true);
    expect(tally.counts).toEqual({ verified: 0, active: 1, failed: 0, codes: {} });
    tally.add("f0", { outcome: "verified" }, true);
    expect(tally.counts.active).toBe(1);
  });

  it("does not count those who only have the bytes as successes", () => {
    const tally = tallyOf(0, 10);
    for (let i = 0; i < 1000; i += 1) tally.add(`v${i}`, { outcome: "verified" }, true);
    expect(tally.exceeds(LIMIT)).toBe(true);
  });

  it("takes no more clients than its limit, and still hears those it has", () => {
    const tally = tallyOf(MAX_TALLIED_CLIENTS, 0);
    tally.add("one more", { outcome: "failed" }, true);
    expect(tally.size).toBe(MAX_TALLIED_CLIENTS);
    tally.add("a0", { outcome: "failed" }, true);
    expect(tally.counts.failed).toBe(1);
    const closed = tallyOf(1, 0);
    closed.add("another", { outcome: "failed" }, false);
    expect(closed.counts.failed).toBe(0);
  });
});
