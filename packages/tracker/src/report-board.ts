import type { ProgressReport } from "@ckmesh/wire";

/** The last report of a peer about an image. */
export interface StoredReport extends ProgressReport {
  /** Lower-case hex. */
  readonly peerId: string;
  readonly user: string;
  readonly site: string;
  /** Unix ms. */
  readonly receivedAt: number;
}

/** Where bytes came from, as clients report them. */
export const BYTE_SOURCES = ["previous", "delta", "host", "peers", "origin", "wasted"] as const;
export type ByteSource = (typeof BYTE_SOURCES)[number];

/** Images that one peer may report about at a time. */
const MAX_REPORTS_PER_PEER = 32;

/** The last report of each peer and image; beyond `maxReports` those of the peer silent longest go. */
export class ReportBoard {
  readonly #maxReports: number;
  /** By peer id, then image; both in order of the last report. */
  readonly #peers = new Map<string, Map<string, StoredReport>>();
  #size = 0;

  constructor(maxReports: number) {
    this.#maxReports = maxReports;
  }

  put(report: StoredReport): void {
    const images = this.#peers.get(report.peerId) ?? new Map<string, StoredReport>();
    this.#size -= images.size;
    images.delete(report.image);
    const oldest = images.size < MAX_REPORTS_PER_PEER ? undefined : images.keys().next().value;
    if (oldest !== undefined) images.delete(oldest);
    images.set(report.image, report);
    this.#size += images.size;
    this.#peers.delete(report.peerId);
    this.#peers.set(report.peerId, images);
    this.#makeRoom();
  }

  all(): readonly StoredReport[] {
    const reports: StoredReport[] = [];
    for (const images of this.#peers.values()) reports.push(...images.values());
    return reports;
  }

  get size(): number {
    return this.#size;
  }

  /** Bytes by source over all reports that are kept. */
  totals(): Readonly<Record<ByteSource, number>> {
    const totals = { previous: 0, delta: 0, host: 0, peers: 0, origin: 0, wasted: 0 };
    for (const report of this.all())
      for (const source of BYTE_SOURCES) totals[source] += report.bytes[source];
    return totals;
  }

  #makeRoom(): void {
    for (const [peerId, images] of this.#peers) {
      if (this.#size <= this.#maxReports) return;
      this.#peers.delete(peerId);
      this.#size -= images.size;
    }
  }
}
