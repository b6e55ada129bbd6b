import { seededRandom } from "@ckmesh/core";
import { expect, it } from "vitest";
import { HINT_INTERVAL_MS, HINT_SPREAD_MS } from "../src/constants.js";
import { HintGate } from "../src/hint-gate.js";

const gate = (): HintGate => new HintGate(seededRandom(1));

it("follows the word of a newer version within a second", () => {
  const ms = gate().heard("a", 3, 2, 0);
  expect(ms).toBeGreaterThanOrEqual(0);
  expect(ms).toBeLessThan(HINT_SPREAD_MS);
});

it("does not follow the word of a version that it knows, or knows a newer one than", () => {
  expect([gate().heard("a", 2, 2, 0), gate().heard("a", 1, 2, 0)]).toEqual([undefined, undefined]);
});

it("follows a peer once a minute, whatever it says, and others all the same", () => {
  const asked = gate();
  asked.heard("a", 2 ** 31 - 1, 2, 0);
  expect(asked.heard("a", 3, 2, HINT_INTERVAL_MS - 1)).toBeUndefined();
  expect(asked.heard("b", 3, 2, HINT_INTERVAL_MS - 1)).toBeDefined();
  expect(asked.heard("a", 3, 2, HINT_INTERVAL_MS)).toBeDefined();
});

it("follows three times a minute in all, however many say it", () => {
  const asked = gate();
  for (const peer of ["a", "b", "c"]) expect(asked.heard(peer, 3, 2, 0)).toBeDefined();
  expect(asked.heard("d", 3, 2, HINT_INTERVAL_MS - 1)).toBeUndefined();
  expect(asked.heard("d", 3, 2, HINT_INTERVAL_MS)).toBeDefined();
});

it("is not kept busy by words of versions that it knows", () => {
  const asked = gate();
  asked.heard("a", 2, 2, 0);
  expect(asked.heard("a", 3, 2, 1)).toBeDefined();
});
