import { seededRandom } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import {
  FIRST_DELAY_MS,
  LONGEST_DELAY_MS,
  RETURN_SPREAD_MS,
  reconnectDelay,
} from "../src/reconnect-delay.js";

describe("reconnectDelay", () => {
  it("spreads a fleet evenly after a working connection was lost", () => {
    const random = seededRandom(1);
    const delays = Array.from({ length: 10_000 }, () => reconnectDelay(0, random));
    const perSecond = Array.from(
      { length: RETURN_SPREAD_MS / 1000 },
      (_, s) => delays.filter((ms) => ms >= s * 1000 && ms < (s + 1) * 1000).length,
    );
    expect(Math.max(...perSecond)).toBeLessThan(1_200);
    expect(Math.min(...perSecond)).toBeGreaterThan(800);
  });

  it("doubles up to the longest, and never waits less than half", () => {
    const most = { next: () => 1 };
    const least = { next: () => 0 };
    expect([1, 2, 3, 4].map((n) => reconnectDelay(n, most))).toEqual(
      [1, 2, 4, 8].map((n) => n * FIRST_DELAY_MS),
    );
    expect(reconnectDelay(1_000_000, most)).toBe(LONGEST_DELAY_MS);
    expect(reconnectDelay(1_000_000, least)).toBe(LONGEST_DELAY_MS / 2);
  });
});
