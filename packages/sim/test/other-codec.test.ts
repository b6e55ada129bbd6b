import { expect, it } from "vitest";
import { Branch } from "./branch.js";

const SEEDS = [1, 2, 3, 4, 5];

/** Machines that hold nothing, and ones with the older version that can pack what a delta yields or cannot. */
function branch(seed: number, able: number, unable: number, cold: number): Branch {
  const made = new Branch(seed, seed % 2 === 0);
  for (let i = 0; i < able; i++) made.hold(100 * i);
  for (let i = 0; i < unable; i++) made.holdUnable(50 + 100 * i);
  for (let i = 0; i < cold; i++) made.cold();
  made.site.clock.advance(1000);
  return made;
}

it.each(SEEDS)(
  "one machine that packs as the publisher did serves all: the delta and nothing else, seed %i",
  (seed) => {
    for (const able of [1, 3]) {
      const where = branch(seed, able, 3, 3);
      expect(where.site.run(60_000)).toBe(true);
      expect(where.copies).toBeLessThanOrEqual(1.02);
    }
  },
);

it.each(SEEDS)(
  "where none does, those that hold nothing fetch plain frames, and nobody the delta: seed %i",
  (seed) => {
    const where = branch(seed, 0, 3, 3);
    expect(where.site.run(60_000)).toBe(true);
    expect(where.plainCopies).toBeLessThanOrEqual(1.02);
  },
);

it("where all have the older version and none does, the delta comes once, also for who looks a quarter of an hour later", () => {
  const where = branch(1, 0, 2, 0);
  where.holdUnable(60_000);
  where.holdUnable(900_000);
  where.site.clock.advance(960_000);
  expect(where.copies).toBeLessThanOrEqual(1.02);
  expect(where.copies).toBeGreaterThan(0.98);
});
