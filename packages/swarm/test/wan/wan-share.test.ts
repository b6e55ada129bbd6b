import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SHARE_GROWTH, SMALLEST_SHARE } from "../../src/constants.js";
import { wanShare } from "../../src/wan/wan-share.js";

const shares = (budget: number, rates: readonly number[]): number[] =>
  rates.map((_, index) =>
    wanShare(
      budget,
      rates.map((rate) => ({ rate })),
      index,
    ),
  );
const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

describe("shares of the WAN budget", () => {
  it("are equal while nobody is known to be slow", () => {
    expect(shares(1200, [0])).toEqual([1200]);
    expect(shares(1200, [0, 0, 0])).toEqual([400, 400, 400]);
    expect(shares(1200, [400, 390, 410])).toEqual([400, 400, 400]);
  });

  it("give what a slow one leaves to the others, and keep a part for a newcomer", () => {
    expect(shares(1200, [100, 550, 550])).toEqual([150, 525, 525]);
    expect(shares(1200, [100, 1100, 0])).toEqual([150, 525, 525]);
  });

  it("are all of the budget for one that is alone, however slow it was", () => {
    expect(shares(1200, [1])).toEqual([1200]);
  });

  it("add up to the budget, whatever rates are claimed, and leave nobody without", () => {
    const rate = fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e12, noNaN: true }));
    fc.assert(
      fc.property(
        fc.array(rate, { minLength: 1, maxLength: 30 }),
        fc.double({ min: 1, max: 1e10, noNaN: true }),
        (rates, budget) => {
          const all = shares(budget, rates);
          expect(sum(all)).toBeLessThanOrEqual(budget * (1 + 1e-9));
          expect(sum(all)).toBeGreaterThanOrEqual(budget * (1 - 1e-9));
          expect(Math.min(...all)).toBeGreaterThanOrEqual(budget / (16 * rates.length));
        },
      ),
    );
  });

  it("settle without a coordinator: everybody uses what it can of its share, and the rest is used by others", () => {
    const can = fc.double({ min: 0.01, max: 2, noNaN: true });
    fc.assert(
      fc.property(fc.array(can, { minLength: 1, maxLength: 8 }), (abilities) => {
        let rates = abilities.map(() => 0);
        for (let round = 0; round < 30; round++) {
          const all = shares(1, rates);
          rates = abilities.map((most, index) => Math.min(most, all[index] ?? 0));
          expect(sum(rates)).toBeLessThanOrEqual(1 + 1e-9);
        }
        // What nobody can use is the only thing that is left, but for the growth that slow ones are allowed, and the
        // least that is kept for each.
        const possible = Math.min(1, sum(abilities));
        const kept = abilities.length / SMALLEST_SHARE;
        expect(sum(rates)).toBeGreaterThanOrEqual(possible / SHARE_GROWTH - kept);
      }),
    );
  });
});
