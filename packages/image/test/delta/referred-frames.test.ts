import { expect, it } from "vitest";
import { DeltaRefs, DeltaRefsWriter, referredFrames } from "../../src/index.js";
import { outcome } from "../outcome.js";

/** Frames of 16 sectors. */
const base = { count: 10, sectors: 160, frameOf: (sector: number): number => Math.floor(sector / 16) };

function refs(
  ...records: (readonly [frame: number, ...runs: (readonly [first: number, count: number])[]])[]
) {
  const writer = new DeltaRefsWriter();
  for (const [frame, ...runs] of records)
    writer.add(
      frame,
      runs.map(([first, count]) => ({ first, count })),
    );
  return new DeltaRefs(writer.finish(), records.length);
}

it("names every frame of the base of which a sector is in a dictionary, and no other", () => {
  const some = refs([0, [15, 2]], [3, [64, 16], [159, 1]], [7, [33, 1]]);
  expect([...referredFrames(some, base, () => true).runs()]).toEqual([
    { first: 0, count: 3 },
    { first: 4, count: 1 },
    { first: 9, count: 1 },
  ]);
  expect([...referredFrames(some, base, (k) => k === 2).runs()]).toEqual([{ first: 2, count: 1 }]);
});

it("refuses a delta that names sectors which the base does not have", () => {
  expect(outcome(() => referredFrames(refs([0, [159, 2]]), base, () => false))).toBe("ERR_INDEX_INVALID");
});
