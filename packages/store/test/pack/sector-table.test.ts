import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SectorTable } from "../../src/pack/sector-table.js";

/** Hashes of 8 words whose first word is always the same, so that all of them collide. */
function hashes(ids: readonly number[]): Uint32Array {
  return Uint32Array.from(ids.flatMap((id) => [7, id, 0, id >>> 3, 1, 2, 3, 4]));
}

describe("SectorTable", () => {
  it("numbers hashes in the order of their first appearance, through growth and collisions", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(2000), { maxLength: 3000 }), (ids) => {
        const table = new SectorTable(0);
        const words = hashes(ids);
        const numbers = new Map<number, number>();
        for (const [i, id] of ids.entries()) {
          const expected = numbers.get(id) ?? numbers.size;
          numbers.set(id, expected);
          expect(table.findOrAdd(words, i)).toBe(expected);
        }
        expect(table.count).toBe(numbers.size);
        for (const [i, id] of ids.entries()) expect(table.find(words, i)).toBe(numbers.get(id));
        expect(table.find(hashes([2001]), 0)).toBe(-1);
      }),
      { numRuns: 20 },
    );
  });

  it("gives appended hashes a number each and finds the first of equal ones", () => {
    const table = new SectorTable(4);
    const words = hashes([5, 6, 5, 8]);
    for (let i = 0; i < 4; i += 1) table.append(words, i);
    expect([0, 1, 2, 3].map((i) => table.find(words, i))).toEqual([0, 1, 0, 3]);
    expect(table.findOrAdd(hashes([9]), 0)).toBe(4);
  });
});
