import type { Bitfield, Run } from "@ckmesh/core";
import type { PromiseGossip } from "./promise-gossip.js";
import type { RequestPicker } from "./request-picker.js";
import type { RowTable } from "./row-table.js";

/** Rows that neither the origin nor peers of this swarm bring: local data, or another swarm of this machine. */
export class OtherSources {
  readonly #table: RowTable;
  readonly #picker: RequestPicker;
  readonly #promises: PromiseGossip;
  #planned: Bitfield | undefined;

  constructor(table: RowTable, picker: RequestPicker, promises: PromiseGossip) {
    this.#table = table;
    this.#picker = picker;
    this.#promises = promises;
  }

  /** Local data is about to deliver these. */
  planLocal(rows: Bitfield): void {
    this.#planned = rows;
    this.#expect(rows);
    this.#promises.planLocal(rows);
  }

  /** Rows of the index became wanted, and perhaps planned before that: they are not to be fetched either. */
  unlocked(): void {
    if (this.#planned !== undefined) this.#expect(this.#planned);
    this.#picker.offerAllOf();
  }

  /** All plans are over: what did not come is to be had elsewhere. */
  localDone(): void {
    this.#planned = undefined;
    this.#promises.endLocal();
    const all = { first: 0, count: this.#table.rows };
    if (this.#table.move(all, "local", "free") > 0) this.#picker.offerAllOf();
  }

  /** Another swarm with the same rows asks its peers for these, or no longer does. */
  elsewhere(runs: readonly Run[], isAsked: boolean): void {
    for (const run of runs) {
      if (isAsked) this.#table.move(run, "free", "elsewhere");
      else if (this.#table.move(run, "elsewhere", "free") > 0) this.#picker.freed(run);
    }
  }

  #expect(rows: Bitfield): void {
    for (const run of rows.runs()) this.#table.move(run, "free", "local");
  }
}
