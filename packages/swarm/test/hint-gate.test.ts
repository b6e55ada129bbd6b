import { seededRandom } from "@ckmesh/core";
import { expect, it } from "vitest";
import { HINT_INTERVAL_MS, HINT_SPREAD_MS } from "../src/constants.js";
import { HintGate } from "../src/hint-gate.js";

const gate = (): HintGate => new HintGate(seededRandom(1));

it("follows the word of a newer version within a second", () => {
  const ms = gate().heard(3, 2, 0);
  expect(ms).toBeGreaterThanOrEqual(0);
  expect(ms).toBeLessThan(HINT_SPREAD_MS);
});

it("does not follow the word of a version that it knows, or knows a newer one than", () => {
  expect([gate().heard(2, 2, 0), gate().heard(1, 2, 0)]).toEqual([undefined, undefined]);
});

it("follows once a minute, however many say it, and whatever they say", () => {
  const asked = gate();
  asked.heard(3, 2, 0);
  expect(asked.heard(4, 2, HINT_INTERVAL_MS - 1)).toBeUndefined();
  expect(asked.heard(4, 2, HINT_INTERVAL_MS)).toBeDefined();
});

it("is not kept busy by words of versions that it knows", () => {
  const asked = gate();
  asked.heard(2, 2, 0);
  expect(asked.heard(3, 2, 1)).toBeDefined();
});
