import type { Run } from "@ckmesh/core";
import type { RowTable } from "@ckmesh/store";

/** Adjacent rows of one file with their bytes. */
export interface RowBytes {
  readonly run: Run;
  readonly bytes: Uint8Array;
}

export interface Assembled {
  readonly good: readonly RowBytes[];
  readonly bad: readonly RowBytes[];
  /** Rows whose hash is not known yet: neither good nor bad. */
  readonly unknown: readonly RowBytes[];
}

/**
 * Cuts the bytes of a run of rows, as they stream in, into whole rows and hashes each. Adjacent rows of the
 * same verdict stay together, as views where possible.
 */
export class RowAssembler {
  readonly #table: RowTable;
  readonly #end: number;
  #row: number;
  /** Of the unfinished row. */
  #rest: Uint8Array[] = [];
  #restBytes = 0;

  constructor(table: RowTable, run: Run) {
    this.#table = table;
    this.#row = run.first;
    this.#end = run.first + run.count;
  }

  /** The first row that is not whole yet. */
  get nextRow(): number {
    return this.#row;
  }

  /** Bytes of the unfinished row. */
  get restBytes(): number {
    return this.#restBytes;
  }

  /** Bytes past the last row are ignored: the transport bounds them. */
  push(bytes: Uint8Array): Assembled {
    const found = { good: new Array<RowBytes>(), bad: new Array<RowBytes>(), unknown: new Array<RowBytes>() };
    if (this.#row >= this.#end) return found;
    if (this.#restBytes + bytes.byteLength < this.#table.length(this.#row)) {
      this.#keep(bytes);
      return found;
    }
    const all = this.#restBytes === 0 ? bytes : Buffer.concat([...this.#rest, bytes]);
    this.#rest = [];
    this.#restBytes = 0;
    let at = 0;
    let open: { verdict: keyof typeof found; first: number; from: number } | undefined;
    const flush = (): void => {
      if (open === undefined) return;
      found[open.verdict].push({
        run: { first: open.first, count: this.#row - open.first },
        bytes: all.subarray(open.from, at),
      });
      open = undefined;
    };
    while (this.#row < this.#end) {
      const length = this.#table.length(this.#row);
      if (at + length > all.byteLength) break;
      const verdict = this.#table.check(this.#row, all.subarray(at, at + length));
      if (open?.verdict !== verdict) {
        flush();
        open = { verdict, first: this.#row, from: at };
      }
      at += length;
      this.#row += 1;
    }
    flush();
    if (this.#row < this.#end) this.#keep(all.subarray(at));
    return found;
  }

  /** A copy: a view would keep the whole network buffer alive. */
  #keep(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#rest.push(Uint8Array.from(bytes));
    this.#restBytes += bytes.byteLength;
  }
}
