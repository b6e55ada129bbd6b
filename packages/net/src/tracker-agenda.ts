import { toHex } from "@ckmesh/core";
import type { ProgressReport, ToTracker } from "@ckmesh/wire";

/** As many as a tracker takes of one client. */
const MAX_SWARMS = 64;
/** Images with a waiting report, and with a waiting publication. */
const MAX_WAITING = 64;

interface Announced {
  readonly swarm: Uint8Array;
  have: number;
  rows: number;
}

/** What a client has to tell its tracker, kept over connections and bounded. */
export class TrackerAgenda {
  readonly #swarms = new Map<string, Announced>();
  readonly #reports = new Map<string, ProgressReport>();
  readonly #published = new Map<string, number>();

  /** Notes a swarm; "full" when there are too many. */
  announce(swarm: Uint8Array, have: number, rows: number): "new" | "known" | "full" {
    const known = this.#swarms.get(toHex(swarm));
    if (known !== undefined) {
      known.have = have;
      known.rows = rows;
      return "known";
    }
    if (this.#swarms.size >= MAX_SWARMS) return "full";
    this.#swarms.set(toHex(swarm), { swarm, have, rows });
    return "new";
  }

  /** True if the swarm was noted. */
  leave(swarm: Uint8Array): boolean {
    return this.#swarms.delete(toHex(swarm));
  }

  /** The swarm as it was announced. */
  find(swarm: Uint8Array): Uint8Array | undefined {
    return this.#swarms.get(toHex(swarm))?.swarm;
  }

  report(report: ProgressReport): void {
    putBounded(this.#reports, report.image, report);
  }

  publish(image: string, version: number): void {
    putBounded(this.#published, image, version);
  }

  announces(): readonly ToTracker[] {
    return [...this.#swarms.values()].map(({ swarm, have, rows }) => ({
      type: "announce",
      swarm,
      have,
      rows,
    }));
  }

  takeReports(): readonly ToTracker[] {
    const messages: ToTracker[] = [];
    for (const report of this.#reports.values()) messages.push({ type: "report", ...report });
    this.#reports.clear();
    return messages;
  }

  takePublished(): readonly ToTracker[] {
    const messages = [...this.#published].map(
      ([image, version]): ToTracker => ({ type: "published", image, version }),
    );
    this.#published.clear();
    return messages;
  }
}

/** Keeps the last value of each key, and of keys those that came last. */
function putBounded<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.size > MAX_WAITING ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
}
