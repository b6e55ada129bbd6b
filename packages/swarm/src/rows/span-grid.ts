import type { Run } from "@ckmesh/core";
import { SPAN_BYTES } from "../constants.js";

/** Rows of one index section, or all frames: their lengths in bytes, in order. */
export interface RowGroup {
  readonly lengths: Uint32Array;
}

/**
 * The fixed grid of spans (site swarm rule 1): computed from the index alone, equal on every client. A span
 * ends after the row at which its bytes reach 2 MiB and never crosses the border of a section, nor that
 * between index and frames.
 */
export class SpanGrid {
  /** First row of each span, and one past the last row. */
  readonly #starts: number[] = [0];
  readonly #lengths: Uint32Array;
  /** Where a span ends. */
  readonly spanBytes: number;
  #rows = 0;

  /**
   * @param rows rows of the version, frames included, known from the head
   * @param spanBytes where a span ends; simulations with coarse rows set it
   */
  constructor(rows: number, spanBytes = SPAN_BYTES) {
    this.spanBytes = spanBytes;
    this.#lengths = new Uint32Array(rows);
  }

  /** Spans known so far. */
  get count(): number {
    return this.#starts.length - 1;
  }

  /** Rows whose length is known so far. */
  get knownRows(): number {
    return this.#rows;
  }

  /** Appends the next section's rows, or the frames. */
  add(group: RowGroup): void {
    if (this.#rows + group.lengths.length > this.#lengths.length)
      throw new Error("unreachable: more rows than the head says");
    this.#lengths.set(group.lengths, this.#rows);
    let bytes = 0;
    for (const length of group.lengths) {
      this.#rows += 1;
      bytes += length;
      if (bytes >= this.spanBytes) {
        this.#starts.push(this.#rows);
        bytes = 0;
      }
    }
    if (this.#starts.at(-1) !== this.#rows) this.#starts.push(this.#rows);
  }

  /** Bytes of one row; 0 when not known yet. */
  rowBytes(row: number): number {
    return this.#lengths[row] ?? 0;
  }

  /** Bytes of a run of rows. */
  runBytes(run: Run): number {
    let bytes = 0;
    for (let row = run.first; row < run.first + run.count; row++) bytes += this.rowBytes(row);
    return bytes;
  }

  /** The rows of a span. */
  rowsOf(span: number): Run {
    const first = this.#starts[span] ?? 0;
    return { first, count: (this.#starts[span + 1] ?? first) - first };
  }

  /** The span of a row with known length. */
  spanOf(row: number): number {
    let low = 0;
    let high = this.count;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#starts[middle] ?? 0) <= row) low = middle;
      else high = middle;
    }
    return low;
  }
}
