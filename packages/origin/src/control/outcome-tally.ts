import type { FailureLimit } from "@ckmesh/image";

/** What became of a version on a machine. */
export const OUTCOMES = ["verified", "active", "failed"] as const;
type Outcome = (typeof OUTCOMES)[number];

export interface ClientOutcome {
  readonly outcome: Outcome;
  /** Why it failed. */
  readonly code?: string;
}

export interface OutcomeCounts extends Readonly<Record<Outcome, number>> {
  /** How often each code failed. */
  readonly codes: Readonly<Record<string, number>>;
}

/** More say nothing new about a version. */
export const MAX_TALLIED_CLIENTS = 5000;

/** What the clients have reported of one rollout; of each the last word counts. */
export class OutcomeTally {
  readonly #clients: Map<string, ClientOutcome>;

  constructor(clients: Iterable<readonly [string, ClientOutcome]> = []) {
    this.#clients = new Map(clients);
  }

  get size(): number {
    return this.#clients.size;
  }

  get clients(): ReadonlyMap<string, ClientOutcome> {
    return this.#clients;
  }

  get counts(): OutcomeCounts {
    const counts = { verified: 0, active: 0, failed: 0 };
    const codes = new Map<string, number>();
    for (const { outcome, code } of this.#clients.values()) {
      counts[outcome] += 1;
      if (code !== undefined) codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    return { ...counts, codes: Object.fromEntries(codes) };
  }

  /** @param mayGrow false: only of clients that have reported before */
  add(client: string, report: ClientOutcome, mayGrow: boolean): void {
    const known = this.#clients.get(client);
    if (known === undefined && (!mayGrow || this.#clients.size >= MAX_TALLIED_CLIENTS)) return;
    // Having its bytes is less than what became of them.
    if (known !== undefined && report.outcome === "verified") return;
    this.#clients.set(client, report);
  }

  /** More clients failed than the publisher lets pass. */
  exceeds(limit: FailureLimit): boolean {
    const { active, failed } = this.counts;
    const reports = active + failed;
    return reports >= limit.minReports && failed * 100 > limit.percent * reports;
  }
}
