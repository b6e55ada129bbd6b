import { sha256, toHex } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { CLASS_WEIGHT, spanScore } from "../src/rank.js";

const id = new Uint8Array(32).fill(3);
const peer = (n: number): string => toHex(sha256(Uint8Array.of(n)));

describe("spanScore", () => {
  it("gives spans to classes in the proportion of their weights", () => {
    const wins = { wired: 0, wifi: 0, battery: 0 };
    for (let span = 0; span < 4000; span++) {
      const scores = Object.keys(CLASS_WEIGHT).map((name, i) => ({
        name,
        score: spanScore(id, span, peer(i), Object.values(CLASS_WEIGHT)[i] ?? 0),
      }));
      const best = scores.toSorted((a, b) => b.score - a.score)[0]?.name;
      if (best === "wired" || best === "wifi" || best === "battery") wins[best] += 1;
    }
    expect(wins.wired / 4000).toBeCloseTo(1 / 1.4, 1);
    expect(wins.wifi / 4000).toBeCloseTo(0.3 / 1.4, 1);
  });

  it("puts a peer that was measured slow last", () => {
    expect(spanScore(id, 1, peer(1), 0)).toBe(0);
    expect(spanScore(id, 1, peer(1), 0.1)).toBeGreaterThan(0);
  });
});
