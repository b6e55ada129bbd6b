import { describe, expect, it } from "vitest";
import { formatBytes, formatDuration, GIB, KIB, parseDuration, parseRate, parseSize } from "../src/index.js";

describe("units", () => {
  it.each([
    ["50M", 6_250_000],
    ["800k", 100_000],
    ["5MB/s", 5_000_000],
    ["1.5 Gbit/s", 187_500_000],
    ["64", 8],
    ["64B", 64],
  ])("reads the rate %s as bytes per second", (text, expected) => {
    expect(parseRate(text)).toBe(expected);
  });

  it.each([
    ["512", 512],
    ["64KiB", 64 * KIB],
    ["20GB", 20e9],
    ["2 GiB", 2 * GIB],
    ["1.5k", 1500],
  ])("reads the size %s", (text, expected) => {
    expect(parseSize(text)).toBe(expected);
  });

  it.each([
    ["250ms", 250],
    ["15m", 900_000],
    ["24h", 86_400_000],
    ["1.5s", 1500],
  ])("reads the duration %s as ms", (text, expected) => {
    expect(parseDuration(text)).toBe(expected);
  });

  it.each([
    [parseRate, ["", "fast", "-5M", "5 parsecs", "5mb", "1e9", "5M/s"]],
    [parseSize, ["", "big", "-1", "1Gi B", "0x10"]],
    [parseDuration, ["", "10", "5 weeks", "-1s"]],
  ] as const)("refuses what is none (%#)", (parse, texts) => {
    for (const text of texts)
      expect(() => parse(text)).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
  });

  it("writes bytes for people", () => {
    expect([0, 999, 1000, 999_949, 999_950, 16e6, 3.5e12].map(formatBytes)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "999.9 kB",
      "1.0 MB",
      "16.0 MB",
      "3.50 TB",
    ]);
  });

  it("writes durations for people", () => {
    expect([850, 12_300, 245_000, 7_800_000].map(formatDuration)).toEqual([
      "850 ms",
      "12.3 s",
      "4 min 05 s",
      "2 h 10 min",
    ]);
  });
});
