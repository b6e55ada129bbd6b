import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { randomInt, seededRandom, shuffled } from "../src/index.js";

function take(seed: number): readonly number[] {
  const random = seededRandom(seed);
  return Array.from({ length: 20 }, () => random.next());
}

describe("seededRandom", () => {
  it("repeats for the same seed and differs for another", () => {
    expect(take(5)).toEqual(take(5));
    expect(take(5)).not.toEqual(take(6));
  });

  it("stays in [0, 1) and fills it evenly", () => {
    const random = seededRandom(1);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 10_000; i += 1) {
      const value = random.next();
      expect(value >= 0 && value < 1).toBe(true);
      const tenth = Math.floor(value * 10);
      tenths[tenth] = (tenths[tenth] ?? 0) + 1;
    }
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});

describe("randomInt", () => {
  it("reaches every value below the limit and no other", () => {
    const random = seededRandom(2);
    const seen = new Set(Array.from({ length: 500 }, () => randomInt(random, 6)));
    expect(seen).toEqual(new Set([0, 1, 2, 3, 4, 5]));
  });
});

describe("shuffled", () => {
  it("keeps every item and leaves the original alone", () => {
    fc.assert(
      fc.property(fc.array(fc.integer()), fc.integer(), (items, seed) => {
        const before = [...items];
        const after = shuffled(seededRandom(seed), items);
        expect(items).toEqual(before);
        expect(after.toSorted((a, b) => a - b)).toEqual(before.toSorted((a, b) => a - b));
      }),
    );
  });
});
