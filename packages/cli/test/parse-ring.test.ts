import { describe, expect, it } from "vitest";
import { parsePercent, parseRing } from "../src/parse-ring.js";

describe("parseRing", () => {
  it("reads shares, groups, and both", () => {
    expect(parseRing("10%")).toEqual({ percent: 10 });
    expect(parseRing("0.5%")).toEqual({ percent: 0.5 });
    expect(parseRing("pilots")).toEqual({ groups: ["pilots"] });
    expect(parseRing("25%, berlin,oslo")).toEqual({ percent: 25, groups: ["berlin", "oslo"] });
  });

  it.each(["", "10%,", "10%,20%", "101%", "-1%", "1e2%", "%"])("refuses %j", (text) => {
    expect(() => parseRing(text)).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
  });
});

describe("parsePercent", () => {
  it("reads 0 to 100, with or without the sign", () => {
    expect(["0", "5%", "99.9", "100%", "100.1", "x", ""].map(parsePercent)).toEqual([
      0,
      5,
      99.9,
      100,
      undefined,
      undefined,
      undefined,
    ]);
  });
});
