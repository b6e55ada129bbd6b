import type { Run } from "@ckmesh/core";
import { type PeerIdPrefix, peerIdPrefix } from "@ckmesh/wire";
import { HAVE_INTERVAL_MS, KNOWN_HAVE_MS, MAX_HAVE_RUNS, SECOND_HAND_MS } from "../constants.js";
import type { Link } from "../links/link.js";
import type { LinkId, SwarmEffect } from "../swarm-messages.js";
import type { RowTable } from "./row-table.js";

/** Rows gained, and from whom: undefined from the origin or local data. */
interface Gain {
  readonly run: Run;
  readonly from: PeerIdPrefix | undefined;
}

/**
 * Tells peers what is held: all of it when a link comes up, then what was gained, gathered per interval. Only news
 * goes at once: rows that the peer lacks and has not heard of from where they came. The rest goes along with it, or
 * later. In a site that fetches together most rows are no news to most peers, and each message costs two machines.
 */
export class HaveGossip {
  readonly #table: RowTable;
  readonly #links: ReadonlyMap<LinkId, Link>;
  readonly #emit: (effect: SwarmEffect) => void;
  #gains: Gain[] = [];
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

  /** @param from the link that sent them; absent: the origin, or local data */
  gained(runs: readonly Run[], now: number, from?: Link): void {
    const source = from === undefined ? undefined : peerIdPrefix(from.peerId);
    for (const run of runs) this.#gains.push({ run, from: source });
    if (this.#flushAt === Number.POSITIVE_INFINITY) this.#flushAt = now + HAVE_INTERVAL_MS;
  }

  lost(runs: readonly Run[]): void {
    for (const link of this.#links.values())
      this.#emit({ type: "send", link: link.id, message: { type: "lost", runs } });
  }

  /** A peer lost rows: it needs to know who has them. */
  needs(link: Link, runs: readonly Run[], now: number): void {
    const { have } = this.#table;
    const held = runs.flatMap(({ first, count }) => [...have.runs(true, first, count)]);
    if (held.length === 0) return;
    link.untold.push(...held);
    this.#tell(link, now);
  }

  /** Sends what is due; returns when to look again. */
  flush(now: number): number {
    if (now < this.#flushAt) return this.#flushAt;
    const gains = this.#gains;
    this.#gains = [];
    let isOwing = false;
    for (const link of this.#links.values()) {
      if (link.bits.isFull) {
        link.untold = [];
        continue;
      }
      const isNews = gains.some(
        ({ run, from }) => (from === undefined || !link.neighbours.has(from)) && lacks(link, run),
      );
      if (link.untold.length === 0) link.untoldSince = now;
      for (const { run } of gains) link.untold.push(run);
      if (isNews || this.#isDue(link, now)) this.#tell(link, now);
      isOwing ||= link.untold.length > 0;
    }
    this.#flushAt = isOwing ? now + HAVE_INTERVAL_MS : Number.POSITIVE_INFINITY;
    return this.#flushAt;
  }

  #isDue(link: Link, now: number): boolean {
    const age = link.untold.length === 0 ? 0 : now - link.untoldSince;
    return age >= KNOWN_HAVE_MS || (age >= SECOND_HAND_MS && link.untold.some((run) => lacks(link, run)));
  }

  #tell(link: Link, now: number): void {
    const all = mergeRuns(link.untold);
    link.untold = all.slice(MAX_HAVE_RUNS);
    link.untoldSince = now;
    const runs = all.slice(0, MAX_HAVE_RUNS);
    this.#emit({ type: "send", link: link.id, message: { type: "have", runs } });
  }
}

function lacks(link: Link, { first, count }: Run): boolean {
  return !link.bits.hasAll(first, count);
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
