import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_RANGES, parseContentRange, parseRangeHeader, rangeLength } from "../src/index.js";

describe("parseRangeHeader", () => {
  it.each([
    ["bytes=0-99", [{ first: 0, last: 99 }]],
    ["bytes=900-", [{ first: 900, last: 999 }]],
    ["bytes=-1", [{ first: 999, last: 999 }]],
    ["bytes=-5000", [{ first: 0, last: 999 }]],
    ["bytes=990-5000", [{ first: 990, last: 999 }]],
    ["BYTES = 0-0 , 5-6", [{ first: 0, last: 0 }, { first: 5, last: 6 }]], // biome-ignore format: one case a line
    ["bytes=,0-1,", [{ first: 0, last: 1 }]],
    ["bytes=5000-,1-2", [{ first: 1, last: 2 }]],
  ])("reads %s of 1000 bytes", (header, expected) => {
    expect(parseRangeHeader(header, 1000)).toEqual(expected);
  });

  it.each(["bytes=1000-", "bytes=-0", "bytes=2000-3000"])("finds nothing in %s of 1000 bytes", (header) => {
    expect(parseRangeHeader(header, 1000)).toEqual([]);
  });

  it.each(["", "items=0-1", "bytes=", "bytes=-", "bytes=5-1", "bytes=a-b", "bytes=1-2x", "bytes=1"])(
    "ignores %j",
    (header) => {
      expect(parseRangeHeader(header, 1000)).toBeUndefined();
    },
  );

  it("finds nothing in an empty representation", () => {
    expect(parseRangeHeader("bytes=0-", 0)).toEqual([]);
    expect(parseRangeHeader("bytes=-5", 0)).toEqual([]);
  });

  it("takes as many ranges as the limit and ignores one more", () => {
    expect(parseRangeHeader(`bytes=${"0-0,".repeat(MAX_RANGES - 1)}0-0`, 10)).toHaveLength(MAX_RANGES);
    expect(parseRangeHeader(`bytes=${"0-0,".repeat(MAX_RANGES)}0-0`, 10)).toBeUndefined();
  });

  it("gives only ranges inside, whatever the header", () => {
    const part = fc.tuple(fc.option(fc.nat()), fc.option(fc.nat())).map(([a, b]) => `${a ?? ""}-${b ?? ""}`);
    const header = fc.oneof(
      fc.string().map((text) => `bytes=${text}`),
      fc.array(part, { maxLength: 5 }).map((parts) => `bytes=${parts.join(",")}`),
    );
    fc.assert(
      fc.property(header, fc.nat(), (text, size) => {
        for (const range of parseRangeHeader(text, size) ?? []) {
          expect(range.first).toBeGreaterThanOrEqual(0);
          expect(range.last).toBeLessThan(size);
          expect(rangeLength(range)).toBeGreaterThan(0);
        }
      }),
    );
  });
});

describe("parseContentRange", () => {
  it("reads a 206 answer", () => {
    expect(parseContentRange("bytes 0-4095/8192")).toEqual({ first: 0, last: 4095, total: 8192 });
  });

  it.each(["bytes */100", "bytes 5-1/100", "bytes 0-100/100", "bytes 0-1/*", "0-1/2", "bytes 0-1/2 "])(
    "refuses %j",
    (header) => {
      expect(parseContentRange(header)).toBeUndefined();
    },
  );
});
