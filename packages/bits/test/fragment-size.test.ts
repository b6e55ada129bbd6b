import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  adapted,
  FRAGMENT_TARGET_MS,
  halved,
  MAX_FRAGMENT_BYTES,
  MIN_FRAGMENT_BYTES,
  nextFragment,
  startSize,
} from "../src/fragment-size.js";

const size = { bytes: 1000, ceiling: 4000 };
const choice = {
  received: 100,
  total: 10_000,
  size,
  missing: undefined,
  isProbe: false,
  firstBytes: undefined,
};

describe("the size of fragments", () => {
  it("grows from 256 KiB to 13 MiB in six quick fragments, and no further", () => {
    let now = startSize();
    expect(now.bytes).toBe(262_144);
    for (let count = 0; count < 6; count += 1) now = adapted(now, 10);
    expect(now.bytes).toBe(MAX_FRAGMENT_BYTES);
    expect(adapted(now, 10).bytes).toBe(MAX_FRAGMENT_BYTES);
  });

  it("begins at the plan's longest where that is shorter", () => {
    expect(startSize(5000)).toEqual({ bytes: 5000, ceiling: 5000 });
  });

  it.each([
    [FRAGMENT_TARGET_MS / 2 - 1, 2_000_000],
    [FRAGMENT_TARGET_MS / 2, 1_000_000],
    [FRAGMENT_TARGET_MS * 2, 1_000_000],
    [FRAGMENT_TARGET_MS * 2 + 1, 500_000],
  ])("after a fragment of %i ms is %i bytes instead of 1,000,000", (tookMs, bytes) => {
    expect(adapted({ bytes: 1_000_000, ceiling: MAX_FRAGMENT_BYTES }, tookMs).bytes).toBe(bytes);
  });

  it("does not fall below 5 KB on a slow line", () => {
    expect(adapted({ bytes: 6000, ceiling: 9000 }, 60_000).bytes).toBe(MIN_FRAGMENT_BYTES);
    expect(adapted({ bytes: 1000, ceiling: 1000 }, 60_000).bytes).toBe(1000);
  });

  it("is halved by 413, and does not grow again", () => {
    expect(halved({ bytes: 80_000, ceiling: MAX_FRAGMENT_BYTES }, 80_000)).toEqual({
      bytes: 40_000,
      ceiling: 40_000,
    });
  });

  it("is halved from what was sent, where that was less", () => {
    expect(halved({ bytes: 80_000, ceiling: 90_000 }, 20_000)).toEqual({ bytes: 10_000, ceiling: 10_000 });
  });

  it("is 5 KB once before it gives up", () => {
    const least = halved({ bytes: 6000, ceiling: 6000 }, 6000);
    expect(least?.bytes).toBe(MIN_FRAGMENT_BYTES);
    expect(halved({ bytes: 6000, ceiling: 6000 }, MIN_FRAGMENT_BYTES)).toBeUndefined();
  });
});

describe("the next fragment", () => {
  it("begins at the next byte wanted and is as long as may be", () => {
    expect(nextFragment(choice)).toEqual({ first: 100, last: 1099, total: 10_000 });
  });

  it("ends with the file", () => {
    expect(nextFragment({ ...choice, received: 9500 })).toEqual({ first: 9500, last: 9999, total: 10_000 });
  });

  it("ends with the missing run that it begins", () => {
    expect(nextFragment({ ...choice, missing: [100, 149] })).toMatchObject({ first: 100, last: 149 });
    expect(nextFragment({ ...choice, received: 120, missing: [100, 149] })).toMatchObject({
      first: 120,
      last: 149,
    });
  });

  const large = { ...choice, total: 1_000_000, size: { bytes: 500_000, ceiling: 500_000 } };

  it("is short where the server only needs to be asked for more of what it has", () => {
    expect(nextFragment({ ...large, missing: [900_000, 999_999] })).toMatchObject({
      first: 100,
      last: 100 + 5119,
    });
  });

  it("is short where the server may be ahead", () => {
    expect(nextFragment({ ...large, isProbe: true })).toMatchObject({ first: 100, last: 100 + 5119 });
  });

  it("is as short as the plan wants at the start of the file only", () => {
    expect(nextFragment({ ...choice, received: 0, firstBytes: 64 })).toMatchObject({ first: 0, last: 63 });
    expect(nextFragment({ ...choice, received: 1, firstBytes: 64 })).toMatchObject({ first: 1, last: 1000 });
  });

  it("is never empty, never beyond the file, and never longer than may be", () => {
    const arbitrary = fc.record({
      total: fc.integer({ min: 1, max: 1_000_000 }),
      at: fc.double({ min: 0, max: 0.999, noNaN: true }),
      bytes: fc.integer({ min: 1, max: 100_000 }),
      run: fc.option(fc.tuple(fc.nat(50_000), fc.nat(50_000))),
      isProbe: fc.boolean(),
      firstBytes: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(arbitrary, ({ total, at, bytes, run, isProbe, firstBytes }) => {
        const received = Math.floor(at * total);
        const from = Math.min(received + (run?.[0] ?? 0), total - 1);
        const missing = run === null ? undefined : ([from, Math.min(from + run[1], total - 1)] as const);
        const sized = { bytes, ceiling: bytes };
        const fragment = nextFragment({ received, total, size: sized, missing, isProbe, firstBytes });
        const length = fragment.last - fragment.first + 1;
        expect(fragment.first).toBe(received);
        expect([length >= 1, length <= bytes, fragment.last < total]).toEqual([true, true, true]);
      }),
    );
  });
});
