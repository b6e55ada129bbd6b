import type { Run } from "@ckmesh/core";
import { HAVE_INTERVAL_MS, MAX_HAVE_RUNS } from "./constants.js";
import type { Link } from "./link.js";
import type { RowTable } from "./row-table.js";
import type { LinkId, SwarmEffect } from "./swarm-messages.js";

/** Tells peers what is held: all of it when a link comes up, then what was gained, gathered per interval. */
export class HaveGossip {
  readonly #table: RowTable;
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #emit: (effect: SwarmEffect) => void;
  #pending: Run[] = [];
  #flushAt = Number.POSITIVE_INFINITY;

  constructor(table: RowTable, links: ReadonlyMap<LinkId, Link>, emit: (effect: SwarmEffect) => void) {
    this.#table = table;
    this.#links = links;
    this.#emit = emit;
  }

  /** The first message on a link (BEP 6). */
  greet(link: Link): void {
    const { have } = this.#table;
    if (have.isFull) this.#emit({ type: "send", link: link.id, message: { type: "have-all" } });
    else if (have.count === 0) this.#emit({ type: "send", link: link.id, message: { type: "have-none" } });
    else this.#emit({ type: "send", link: link.id, message: { type: "bitfield", bits: have.toBytes() } });
  }

  gained(runs: readonly Run[], now: number): void {
    for (const run of runs) {
      const last = this.#pending.at(-1);
      if (last !== undefined && last.first + last.count === run.first) {
        this.#pending[this.#pending.length - 1] = { first: last.first, count: last.count + run.count };
      } else {
        this.#pending.push(run);
      }
    }
    if (this.#flushAt === Number.POSITIVE_INFINITY) this.#flushAt = now + HAVE_INTERVAL_MS;
  }

  lost(runs: readonly Run[]): void {
    for (const link of this.#links.values())
      this.#emit({ type: "send", link: link.id, message: { type: "lost", runs } });
  }

  /** Sends what is due; returns when to look again. */
  flush(now: number): number {
    if (now < this.#flushAt) return this.#flushAt;
    const runs = this.#pending.splice(0, MAX_HAVE_RUNS);
    for (const link of this.#links.values())
      this.#emit({ type: "send", link: link.id, message: { type: "have", runs } });
    this.#flushAt = this.#pending.length > 0 ? now + HAVE_INTERVAL_MS : Number.POSITIVE_INFINITY;
    return this.#flushAt;
  }
}
