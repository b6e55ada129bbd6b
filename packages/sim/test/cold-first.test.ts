import { seededRandom } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { UPDATE_WAIT_MS } from "../../swarm/src/constants.js";
import { Branch } from "./branch.js";

/** Longer than any of these tests. */
const NEVER = 900_000;
const SEEDS = Array.from({ length: 20 }, (_, i) => i + 1);

describe("a site pays for one delta, the index, and frames that it does not yield", () => {
  it.each(SEEDS.slice(0, 10))(
    "when three cold ones come while three with the older version rest: seed %i",
    (seed) => {
      const branch = new Branch(seed, seed % 2 === 0);
      const random = seededRandom(seed);
      for (let i = 0; i < 3; i++) branch.hold(random.next() * 60_000);
      for (let i = 0; i < 3; i++) branch.cold();
      expect(branch.site.run(60_000)).toBe(true);
      expect(branch.copies).toBeLessThanOrEqual(1.02);
    },
  );

  it.each(SEEDS)("when all come in any order over ten seconds: seed %i", (seed) => {
    const branch = new Branch(seed, seed % 2 === 0);
    const random = seededRandom(seed);
    for (let i = 0; i < 3; i++) branch.hold(random.next() * 10_000);
    for (let i = 0; i < 3; i++) branch.site.clock.after(random.next() * 10_000, () => branch.cold());
    branch.site.clock.advance(10_000);
    expect(branch.site.run(60_000)).toBe(true);
    expect(branch.copies).toBeLessThanOrEqual(1.02);
  });

  it("when nine update one after the other beside a cold one that came first", () => {
    // With this seed a newcomer is met in the middle of a frame.
    const seed = 8;
    const branch = new Branch(seed);
    const random = seededRandom(seed);
    branch.cold();
    for (let i = 0; i < 9; i++) branch.hold(random.next() * 10_000);
    expect(branch.site.run(60_000)).toBe(true);
    expect(branch.copies).toBeLessThanOrEqual(1.02);
  });

  it("when nine cold ones come, some of which see nobody with the older version", () => {
    const branch = new Branch(1);
    branch.hold(NEVER);
    for (let i = 0; i < 9; i++) branch.cold();
    expect(branch.site.run(60_000)).toBe(true);
    expect(branch.copies).toBeLessThanOrEqual(1.02);
  });
});

/** When three cold ones are done, ms. */
function doneAt(hasDelta: boolean, prepare: (branch: Branch) => void = () => {}): number {
  const branch = new Branch(1);
  prepare(branch);
  for (let i = 0; i < 3; i++) branch.cold(hasDelta);
  expect(branch.site.run(60_000)).toBe(true);
  return branch.site.clock.now();
}

describe("waiting for an update costs cold clients", () => {
  it("nothing where nobody has the older version", () => {
    expect(doneAt(true)).toBe(doneAt(false));
  });

  it("one deadline where those with the older version do not want the new one", () => {
    const unwilling = doneAt(true, (branch) => branch.hold(NEVER, { isWilling: false }));
    const without = doneAt(false, (branch) => branch.hold(NEVER));
    expect(unwilling - without).toBeGreaterThan(UPDATE_WAIT_MS / 2);
    expect(unwilling - without).toBeLessThanOrEqual(UPDATE_WAIT_MS + 100);
  });
});
