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
    this.#pending.push(...runs);
    if (this.#flushAt === Number.POSITIVE_INFINITY) this.#flushAt = now + HAVE_INTERVAL_MS;
  }

  lost(runs: readonly Run[]): void {
    for (const link of this.#links.values())
      this.#emit({ type: "send", link: link.id, message: { type: "lost", runs } });
  }

  /** Sends what is due; returns when to look again. */
  flush(now: number): number {
    if (now < this.#flushAt) return this.#flushAt;
    const all = mergeRuns(this.#pending);
    const runs = all.slice(0, MAX_HAVE_RUNS);
    this.#pending = all.slice(MAX_HAVE_RUNS);
    for (const link of this.#links.values())
      this.#emit({ type: "send", link: link.id, message: { type: "have", runs } });
    this.#flushAt = this.#pending.length > 0 ? now + HAVE_INTERVAL_MS : Number.POSITIVE_INFINITY;
    return this.#flushAt;
  }
}

/** The same rows as ascending runs that do not touch. */
function mergeRuns(runs: readonly Run[]): Run[] {
  const merged: { first: number; count: number }[] = [];
  for (const { first, count } of runs.toSorted((a, b) => a.first - b.first)) {
    const last = merged.at(-1);
    if (last !== undefined && first <= last.first + last.count)
      last.count = Math.max(last.count, first + count - last.first);
    else merged.push({ first, count });
  }
  return merged;
}
