import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseChallenges } from "../src/client/challenges.js";

describe("challenges", () => {
  it.each<readonly [readonly string[], readonly object[]]>([
    [
      ["Negotiate", "NTLM", 'Basic realm="MEDV", charset="UTF-8"'],
      [{ scheme: "negotiate" }, { scheme: "ntlm" }, { scheme: "basic" }],
    ],
    [
      ['Negotiate, NTLM, Basic realm="a, NTLM b"'],
      [{ scheme: "negotiate" }, { scheme: "ntlm" }, { scheme: "basic" }],
    ],
    [["NTLM TlRMTVNTUAACAAAA=="], [{ scheme: "ntlm", token: "TlRMTVNTUAACAAAA==" }]],
    [['Basic realm = "x", charset = "UTF-8"'], [{ scheme: "basic" }]],
    [['Basic realm="a\\"b, Negotiate"'], [{ scheme: "basic" }]],
    [['Basic realm="never closed, NTLM'], [{ scheme: "basic" }]],
    [["", ",,", "=", "<html>"], []],
    [[`NTLM ${"A".repeat(70_000)}`], []],
  ])("of %j", (lines, expected) => {
    expect(parseChallenges(lines)).toEqual(expected);
  });

  it("are found in any text, without an error and in bounded number", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (lines) => {
        expect(parseChallenges(lines).length).toBeLessThanOrEqual(32);
      }),
    );
  });

  it("take a moment even where every character is a quote", () => {
    const before = performance.now();
    parseChallenges(['"'.repeat(65_535), '\\"'.repeat(32_000)]);
    expect(performance.now() - before).toBeLessThan(1000);
  });
});
