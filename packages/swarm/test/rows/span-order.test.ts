import { describe, expect, it } from "vitest";
import { ORDER_BLOCK_SPANS, SPAN_BYTES } from "../../src/constants.js";
import { SpanGrid } from "../../src/rows/span-grid.js";
import { SpanOrder } from "../../src/rows/span-order.js";

const PIECES = 3;
const SPANS = 5 * ORDER_BLOCK_SPANS;

const score = (span: number): number => (span * 37) % 101;

function orderOf(scoreOf: (span: number) => number): number[] {
  const grid = new SpanGrid(SPANS);
  grid.add({ lengths: new Uint32Array(PIECES).fill(SPAN_BYTES) });
  grid.add({ lengths: new Uint32Array(SPANS - PIECES).fill(SPAN_BYTES) });
  const order = new SpanOrder();
  order.set(grid, PIECES, scoreOf);
  const taken: number[] = [];
  for (;;) {
    const span = order.next((candidate) => (taken.includes(candidate) ? undefined : candidate));
    if (span === undefined) return taken;
    taken.push(span);
  }
}

describe("SpanOrder", () => {
  it("takes the spans of the index first, in order", () => {
    expect(orderOf((span) => span).slice(0, PIECES)).toEqual([0, 1, 2]);
  });

  it("takes block after block, in each the highest score first, every span once", () => {
    const expected: number[] = [];
    for (let block = 0; block < SPANS; block += ORDER_BLOCK_SPANS) {
      const spans = Array.from({ length: ORDER_BLOCK_SPANS }, (_, i) => block + i);
      expected.push(...spans.filter((span) => span < PIECES));
      expected.push(...spans.filter((span) => span >= PIECES).toSorted((a, b) => score(b) - score(a)));
    }
    expect(orderOf(score)).toEqual(expected);
  });
});
