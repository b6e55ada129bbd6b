import type { Run } from "@ckmesh/core";
import { isFaster } from "../claims/claim-contest.js";
import type { ClaimTable } from "../claims/claim-table.js";
import { CLAIM_PROGRESS_MS, HEDGE_MS } from "../constants.js";
import type { RowTable } from "./row-table.js";
import { SpanOrder } from "./span-order.js";

/** What the choice needs to know of the rest of the machine. */
export interface SpanChoiceContext {
  readonly peerId: string;
  readonly table: RowTable;
  readonly claims: ClaimTable;
  readonly score: (span: number, peerId: string) => number;
  /** True if a connected peer offers the row. */
  readonly isOffered: (row: number) => boolean;
  /** True if the row comes without the WAN (rule 8). */
  readonly isPromised: (row: number) => boolean;
}

/** A span, and from which of its rows on it is to be fetched. */
export interface ChosenSpan {
  readonly span: number;
  readonly rows: Run;
}

/** Which span this client would claim next, and which rows may come over the WAN (site swarm rules 5, 7, 13). */
export class SpanChoice {
  readonly #context: SpanChoiceContext;
  readonly #order = new SpanOrder();

  constructor(context: SpanChoiceContext) {
    this.#context = context;
    this.reorder();
  }

  /** Spans became known. */
  reorder(): void {
    const { table, score, peerId } = this.#context;
    this.#order.set(table.grid, table.pieceRows, (span) => score(span, peerId));
  }

  /** True while the last look ended before the end of the order. */
  get isUnderWay(): boolean {
    return this.#order.isUnderWay;
  }

  /** The next span in own order with rows that nobody has, claims or delivers; `isOwn`: claimed here already. */
  next(isOwn: (span: number) => boolean, isImpatient: boolean): ChosenSpan | undefined {
    return this.#order.next((span) => {
      const isOut = this.#context.table.freeIn(span) === 0 || isOwn(span);
      const rows = isOut ? undefined : this.#wanRun(span, isImpatient);
      return rows === undefined ? undefined : { span, rows };
    });
  }

  /**
   * Rule 13: a span that somebody far slower still fetches.
   * @param rate own rate, bytes per second
   */
  ofSlower(rate: number): ChosenSpan | undefined {
    const { claims, table } = this.#context;
    for (const { claim } of claims.active()) {
      const leftMs = (table.grid.runBytes(claim.rows) - claim.bytesDone) / (claim.rate / 1000);
      const isSlow = isFaster(rate, claim.rate) && leftMs >= HEDGE_MS;
      const rows = isSlow ? this.#wholeRun(claim.span) : undefined;
      if (rows !== undefined) return { span: claim.span, rows };
    }
    return undefined;
  }

  /** A span whose claimer the origin told to wait. */
  ofPaused(now: number): ChosenSpan | undefined {
    for (const { claim, progressAt } of this.#context.claims.active()) {
      const isLate = claim.state === "paused" && progressAt - now >= CLAIM_PROGRESS_MS;
      const rows = isLate ? this.#wholeRun(claim.span) : undefined;
      if (rows !== undefined) return { span: claim.span, rows };
    }
    return undefined;
  }

  /** Rule 7: a peer has the row, or somebody brings it without the WAN. */
  isComing(row: number): boolean {
    return this.#context.isOffered(row) || this.#context.isPromised(row);
  }

  #wholeRun(span: number): Run | undefined {
    return span < this.#context.table.grid.count ? this.#wanRun(span, true) : undefined;
  }

  /** From the first row of the span that may come from the WAN to its end (rule 7). */
  #wanRun(span: number, isImpatient: boolean): Run | undefined {
    const { first, count } = this.#context.table.grid.rowsOf(span);
    for (let row = first; row < first + count; row++) {
      if (this.#mayFetch(span, row, isImpatient)) return { first: row, count: first + count - row };
    }
    return undefined;
  }

  #mayFetch(span: number, row: number, isImpatient: boolean): boolean {
    const { table, claims } = this.#context;
    if (!table.isFree(row)) return false;
    return isImpatient || (!this.isComing(row) && claims.covering(span, row).next().done === true);
  }
}
