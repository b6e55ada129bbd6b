import { CLAIM_SCAN, ORDER_BLOCK_SPANS } from "../constants.js";
import type { SpanGrid } from "./span-grid.js";

/** Spans in this machine's own order (rule 5), looked through piece by piece so that no step takes long. */
export class SpanOrder {
  #order: Uint32Array = new Uint32Array(0);
  #at = 0;

  /**
   * Index spans first, in order: nothing else is of use without them; then blocks of frame spans, one after the
   * other, in each the highest score first.
   */
  set(grid: SpanGrid, pieceRows: number, score: (span: number) => number): void {
    const scores = Float64Array.from({ length: grid.count }, (_, span) =>
      grid.rowsOf(span).first < pieceRows ? Number.MAX_VALUE : score(span),
    );
    this.#order = Uint32Array.from(scores.keys()).toSorted(
      (a, b) => blockOf(a) - blockOf(b) || (scores[b] ?? 0) - (scores[a] ?? 0) || a - b,
    );
    this.#at = 0;
  }

  /** True while the last look ended before the end of the order. */
  get isUnderWay(): boolean {
    return this.#at > 0;
  }

  /** What `accept` makes of the first span that it takes, from where the last look ended; then it starts anew. */
  next<T>(accept: (span: number) => T | undefined): T | undefined {
    const end = Math.min(this.#order.length, this.#at + CLAIM_SCAN);
    for (let at = this.#at; at < end; at++) {
      const taken = accept(this.#order[at] ?? 0);
      if (taken === undefined) continue;
      this.#at = 0;
      return taken;
    }
    this.#at = end === this.#order.length ? 0 : end;
    return undefined;
  }
}

function blockOf(span: number): number {
  return Math.floor(span / ORDER_BLOCK_SPANS);
}
