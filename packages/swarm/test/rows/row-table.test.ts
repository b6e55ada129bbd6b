import { Bitfield, type Run } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type RowState, RowTable } from "../../src/rows/row-table.js";

const section = (count: number, wanted = true): { lengths: Uint32Array; wanted: boolean } => ({
  lengths: new Uint32Array(count).fill(65_536),
  wanted,
});
const table = (have = new Bitfield(110)): RowTable =>
  new RowTable(110, [section(1), section(9)], have, { first: 0, count: 1 });

describe("RowTable", () => {
  it("wants nothing but the hashes until they are held, then the other index rows, then frames", () => {
    const rows = table();
    expect(rows.missing).toBe(1);
    rows.hold({ first: 0, count: 1 });
    expect(rows.unlock()).toBe(true);
    expect(rows.missing).toBe(9);
    expect(rows.isComplete).toBe(false);
    rows.addFrames(new Uint32Array(100).fill(65_536));
    expect(rows.missing).toBe(109);
  });

  it("does not want sections that are recomputed later", () => {
    const have = new Bitfield(6);
    have.add(0);
    const rows = new RowTable(6, [section(1), section(2, false), section(3)], have, { first: 0, count: 1 });
    expect(rows.missing).toBe(3);
    expect(rows.isMissing(1)).toBe(false);
  });

  it("reports as fresh only rows that were not held", () => {
    const rows = table();
    rows.hold({ first: 3, count: 2 });
    expect(rows.hold({ first: 1, count: 8 })).toEqual([
      { first: 1, count: 2 },
      { first: 5, count: 4 },
    ]);
  });

  it("finds the first run of free rows within bounds and bytes", () => {
    const rows = table(Bitfield.from(Uint8Array.of(0b1010_0000), 110));
    expect(rows.firstFree({ first: 0, count: 10 }, 3 * 65_536, () => true)).toEqual({ first: 1, count: 1 });
    expect(rows.firstFree({ first: 2, count: 8 }, 3 * 65_536, () => true)).toEqual({ first: 3, count: 3 });
    expect(rows.firstFree({ first: 2, count: 8 }, 1, (row) => row > 7)).toEqual({ first: 8, count: 1 });
  });

  it("keeps its counts equal to a recount, whatever happens", () => {
    const states = ["free", "asked", "fetching", "local"] as const satisfies readonly RowState[];
    const run = fc
      .tuple(fc.nat(109), fc.integer({ min: 1, max: 40 }))
      .map(([first, count]): Run => ({ first, count: Math.min(count, 110 - first) }));
    const action = fc.oneof(
      fc.record({
        type: fc.constant("move"),
        run,
        from: fc.constantFrom(...states),
        to: fc.constantFrom(...states),
      }),
      fc.record({
        type: fc.constant("hold"),
        run,
        from: fc.constant("free" as const),
        to: fc.constant("free" as const),
      }),
      fc.record({
        type: fc.constant("lose"),
        run,
        from: fc.constant("free" as const),
        to: fc.constant("free" as const),
      }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        const rows = table(Bitfield.from(Uint8Array.of(0x80), 110));
        rows.addFrames(new Uint32Array(100).fill(65_536));
        for (const a of actions) {
          if (a.type === "move") rows.move(a.run, a.from, a.to);
          else if (a.type === "hold") rows.hold(a.run);
          else rows.lose(a.run);
        }
        let missing = 0;
        for (let row = 0; row < 110; row++) missing += Number(rows.isMissing(row));
        expect(rows.missing).toBe(missing);
        expect(rows.missing).toBe(110 - rows.have.count);
        for (let span = 0; span < rows.grid.count; span++) {
          const { first, count } = rows.grid.rowsOf(span);
          let free = 0;
          for (let row = first; row < first + count; row++) free += Number(rows.isFree(row));
          expect(rows.freeIn(span)).toBe(free);
        }
      }),
    );
  });
});
