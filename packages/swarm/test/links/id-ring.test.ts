import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nearestIds } from "../../src/links/id-ring.js";

const id = (n: number): string => n.toString(16).padStart(16, "0");
const ids = (...all: number[]): string[] => all.map(id);

describe("nearestIds", () => {
  it("takes as many after an id as before it, around the end of the ring", () => {
    expect(nearestIds(id(1), ids(2, 3, 4, 5, 6, 7, 8), 4)).toEqual(new Set(ids(2, 3, 7, 8)));
  });

  it("takes all when there are no more than asked for, and never the id itself", () => {
    expect(nearestIds(id(1), ids(1, 9, 5), 4)).toEqual(new Set(ids(5, 9)));
  });

  it("is mutual: whoever is near to another one has it near too, if both know the same ids", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(1000), { minLength: 2, maxLength: 60 }), (numbers) => {
        const all = ids(...numbers);
        for (const a of all)
          for (const b of nearestIds(a, all, 12)) expect(nearestIds(b, all, 12)).toContain(a);
      }),
    );
  });
});
