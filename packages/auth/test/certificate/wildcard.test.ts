import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesWildcard } from "../../src/certificate/wildcard.js";

describe("matchesWildcard", () => {
  it("matches as a regular expression with .* for each star does", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "."), maxLength: 8 });
    const pattern = fc.string({ unit: fc.constantFrom("a", "b", ".", "*"), maxLength: 8 });
    fc.assert(
      fc.property(pattern, text, (p, t) => {
        const regex = new RegExp(`^${p.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
        expect(matchesWildcard(p, t)).toBe(regex.test(t));
      }),
      { numRuns: 3000 },
    );
  });

  it("does not let the text before and behind a star overlap", () => {
    expect(matchesWildcard("ab*ba", "aba")).toBe(false);
    expect(matchesWildcard("ab*ba", "abba")).toBe(true);
    expect(matchesWildcard("", "")).toBe(true);
    expect(matchesWildcard("*", "")).toBe(true);
  });

  it("answers a pattern of 500 stars that nearly fits at once", () => {
    // A matcher that tries every way would not end in this universe's time.
    expect(matchesWildcard(`${"a*".repeat(500)}b`, "a".repeat(4000))).toBe(false);
  });
});
