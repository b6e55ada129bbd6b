import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BytePace } from "../src/index.js";

describe("a pace", () => {
  it("is kept over any stretch, but for a quarter of a second and the last piece", () => {
    const step = fc.record({
      idleMs: fc.integer({ min: 0, max: 2000 }),
      bytes: fc.integer({ min: 1, max: 1 << 20 }),
    });
    fc.assert(
      fc.property(fc.integer({ min: 1000, max: 1e8 }), fc.array(step, { minLength: 1 }), (rate, steps) => {
        const pace = new BytePace(rate, 0);
        let now = 0;
        let before = 0;
        for (const { idleMs, bytes } of steps) {
          now += idleMs;
          now += pace.msLeft(now);
          expect(before).toBeLessThanOrEqual((rate * (now + 250)) / 1000 + 1);
          pace.take(bytes, now);
          before += bytes;
        }
      }),
    );
  });

  it("makes up for one large piece", () => {
    const pace = new BytePace(1000, 0);
    expect(pace.msLeft(0)).toBe(0);
    pace.take(5000, 0);
    expect(pace.msLeft(0)).toBe(5000);
    expect(pace.msLeft(4999)).toBe(1);
    expect(pace.msLeft(5000)).toBe(0);
  });
});
