import { beforeEach, describe, expect, it } from "vitest";
import { RATE_MS, SPAN_BYTES } from "../../src/constants.js";
import { WanRate } from "../../src/wan/wan-rate.js";

let rate: WanRate;

beforeEach(() => {
  rate = new WanRate();
  rate.begin(1000);
});

describe("WanRate", () => {
  it("says what others may count on after one second of fetching", () => {
    rate.add(500_000, 1999);
    expect(rate.value(1999)).toBe(0);
    rate.add(500_000, 2000);
    expect(rate.value(2000)).toBe(1_000_000);
  });

  it("says early, from one span on, how soon the next claim is needed", () => {
    rate.add(SPAN_BYTES - 1, 1010);
    expect(rate.early(1010)).toBe(0);
    rate.add(1, 1020);
    expect(rate.early(1020)).toBe(SPAN_BYTES * 50);
    expect(rate.value(1020)).toBe(0);
  });

  it("says it after a second also where a span takes longer", () => {
    rate.add(1000, 2000);
    expect(rate.early(2000)).toBe(1000);
  });

  it("knows nothing of bytes that came in no time", () => {
    rate.add(SPAN_BYTES, 1000);
    expect(rate.early(1000)).toBe(0);
  });

  it("forgets a rate of long ago", () => {
    rate.add(SPAN_BYTES, 2000);
    expect([rate.value(2001 + RATE_MS), rate.early(2001 + RATE_MS)]).toEqual([0, 0]);
  });
});
