import { seededRandom } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { PATIENCE_JITTER_MS, PATIENCE_MS, PROMISE_WORD_MS } from "../../src/constants.js";
import { Patience } from "../../src/links/patience.js";

/** When it runs out while every second somebody says that he is at work, ms from `from`. */
function outlasts(patience: Patience, from: number): number {
  let now = from;
  for (; now < patience.endsAt(0); now += 1000) patience.heardOfWork(now);
  return now - from;
}

describe("Patience with those who say that they are at work", () => {
  it("lasts a minute and a half without a row, however many say so, and after that as long as with any", () => {
    const patience = new Patience(seededRandom(1), 0);
    const first = outlasts(patience, 0);
    expect(first).toBeGreaterThanOrEqual(PROMISE_WORD_MS + PATIENCE_MS);
    expect(first).toBeLessThanOrEqual(PROMISE_WORD_MS + PATIENCE_MS + PATIENCE_JITTER_MS + 1000);
    patience.ranOut(first);
    expect(outlasts(patience, first)).toBeLessThanOrEqual(PATIENCE_MS + PATIENCE_JITTER_MS + 1000);
  });

  it("begins anew with each row", () => {
    const patience = new Patience(seededRandom(1), 0);
    for (let now = 0; now < 2 * PROMISE_WORD_MS; now += 1000) {
      if (now % 60_000 === 0) patience.renewed(now);
      patience.heardOfWork(now);
      expect(patience.endsAt(0)).toBeGreaterThan(now + PATIENCE_MS - 1);
    }
  });

  it("is the usual one again when nobody had said anything before it ran out", () => {
    const patience = new Patience(seededRandom(1), 0);
    patience.ranOut(20_000);
    patience.heardOfWork(25_000);
    expect(patience.endsAt(0)).toBeGreaterThanOrEqual(25_000 + PATIENCE_MS);
  });
});
