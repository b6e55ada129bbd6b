import { describe, expect, it } from "vitest";
import { cheapestChain, type KnownDelta, MAX_STEPS, stepsBetween } from "../../src/delta/chain-path.js";

const delta = (to: number, from: number, bytes: number): KnownDelta => ({ to, from, bytes });
const names = (chain: readonly KnownDelta[] | undefined): readonly string[] | undefined =>
  chain?.map(({ to, from }) => `${to}.from_${from}`);

describe("the cheapest way over known deltas", () => {
  it("is the direct one unless several are shorter together", () => {
    const steps = [delta(2, 1, 1_000_000), delta(3, 2, 1_000_000)];
    expect(names(cheapestChain([...steps, delta(3, 1, 1_900_000)], new Set([1]), 3))).toEqual(["3.from_1"]);
    expect(names(cheapestChain([...steps, delta(3, 1, 2_100_000)], new Set([1]), 3))).toEqual([
      "2.from_1",
      "3.from_2",
    ]);
  });

  it("prefers fewer deltas of the same size, as each version between has a head", () => {
    const known = [delta(2, 1, 500), delta(3, 2, 500), delta(3, 1, 1000)];
    expect(names(cheapestChain(known, new Set([1]), 3))).toEqual(["3.from_1"]);
  });

  it("begins at whatever version that is held leads there in the fewest bytes", () => {
    const known = [delta(5, 4, 100_000), delta(4, 3, 900_000), delta(4, 2, 100_000)];
    expect(names(cheapestChain(known, new Set([3, 2]), 5))).toEqual(["4.from_2", "5.from_4"]);
  });

  it("is none where a delta is missing, or too many would be needed", () => {
    const steps = Array.from({ length: MAX_STEPS + 1 }, (_, i) => delta(i + 2, i + 1, 1));
    expect(cheapestChain([delta(2, 1, 1), delta(4, 3, 1)], new Set([1]), 4)).toBeUndefined();
    expect(cheapestChain(steps, new Set([1]), MAX_STEPS + 1)).toHaveLength(MAX_STEPS);
    expect(cheapestChain(steps, new Set([1]), MAX_STEPS + 2)).toBeUndefined();
  });

  it("never goes back, nor beyond the version that is wanted", () => {
    const known = [delta(1, 4, 1), delta(4, 2, 1), delta(3, 4, 1), delta(3, 3, 1)];
    expect(cheapestChain(known, new Set([2]), 3)).toBeUndefined();
  });
});

describe("without a list", () => {
  it("the last delta is asked for first, down to the newest version that is held", () => {
    expect(stepsBetween(new Set([1, 3, 9]), 5)).toEqual([
      { to: 5, from: 4 },
      { to: 4, from: 3 },
    ]);
  });

  it("nothing is asked for where more than five deltas would be needed, or nothing is held", () => {
    expect(stepsBetween(new Set([1]), 1 + MAX_STEPS)).toHaveLength(MAX_STEPS);
    expect(stepsBetween(new Set([1]), 2 + MAX_STEPS)).toBeUndefined();
    expect(stepsBetween(new Set(), 3)).toBeUndefined();
  });
});
