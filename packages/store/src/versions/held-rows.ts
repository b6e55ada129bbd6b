import { Bitfield } from "@ckmesh/core";
import { ROW_SOURCES, type SourceBytes } from "./row-source.js";

/** Which rows are held, and by which way their bytes came: each row counts once. */
export class HeldRows {
  /** Live: changes as rows come. */
  readonly have: Bitfield;
  readonly #lengthOf: (row: number) => number;
  readonly #sources: Uint8Array;
  /** Bytes held, by source code. */
  readonly #totals = new Float64Array(ROW_SOURCES.length + 1);

  constructor(rows: number, lengthOf: (row: number) => number) {
    this.have = new Bitfield(rows);
    this.#sources = new Uint8Array(rows);
    this.#lengthOf = lengthOf;
  }

  get bytes(): SourceBytes {
    const [lost, previous, delta, host, peers, origin] = this.#totals;
    return {
      previous: previous ?? 0,
      delta: delta ?? 0,
      host: host ?? 0,
      peers: peers ?? 0,
      // A row whose note was lost in a power failure: the WAN figure is never too small.
      origin: (origin ?? 0) + (lost ?? 0),
    };
  }

  /** @param code of `sourceCode`; an unknown one counts as lost */
  take(row: number, code: number): void {
    if (!this.have.add(row)) return;
    this.#sources[row] = code <= ROW_SOURCES.length ? code : 0;
    this.#count(row, 1);
  }

  drop(row: number): void {
    if (!this.have.delete(row)) return;
    this.#count(row, -1);
    this.#sources[row] = 0;
  }

  #count(row: number, sign: 1 | -1): void {
    const code = this.#sources[row] ?? 0;
    this.#totals[code] = (this.#totals[code] ?? 0) + sign * this.#lengthOf(row);
  }
}
