import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SPAN_BYTES } from "../../src/constants.js";
import { SpanGrid } from "../../src/rows/span-grid.js";

describe("SpanGrid", () => {
  it("ends a span after the row at which its bytes reach 2 MiB", () => {
    const grid = new SpanGrid(5);
    grid.add({ lengths: Uint32Array.of(SPAN_BYTES - 1, 1, SPAN_BYTES, 7, 8) });
    expect([0, 1, 2].map((span) => grid.rowsOf(span))).toEqual([
      { first: 0, count: 2 },
      { first: 2, count: 1 },
      { first: 3, count: 2 },
    ]);
  });

  it("never lets a span cross the border of a section", () => {
    const grid = new SpanGrid(3);
    grid.add({ lengths: Uint32Array.of(10) });
    grid.add({ lengths: Uint32Array.of(10) });
    grid.add({ lengths: Uint32Array.of(10) });
    expect(grid.count).toBe(3);
  });

  it("covers every row by exactly one span, whatever the lengths", () => {
    const lengths = fc.array(fc.array(fc.integer({ min: 1, max: 90_000 }), { maxLength: 120 }), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(lengths, (sections) => {
        const rows = sections.flat().length;
        const grid = new SpanGrid(rows);
        for (const section of sections) grid.add({ lengths: Uint32Array.from(section) });
        let next = 0;
        for (let span = 0; span < grid.count; span++) {
          const run = grid.rowsOf(span);
          expect(run.first).toBe(next);
          expect(run.count).toBeGreaterThan(0);
          for (let row = run.first; row < run.first + run.count; row++) expect(grid.spanOf(row)).toBe(span);
          next = run.first + run.count;
        }
        expect(next).toBe(rows);
      }),
    );
  });
});
