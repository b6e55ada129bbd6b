import { seededRandom } from "@ckmesh/core";
import { SimSite, type SiteOptions } from "@ckmesh/sim";

/** What one simulated site came to. */
export interface SiteOutcome {
  /** WAN bytes over image bytes. */
  readonly copies: number;
  /** Each client's time, from its start, over the least that is possible for it. */
  readonly times: readonly number[];
  /** Each client's time in seconds from its start. */
  readonly clientSeconds: readonly number[];
  readonly seconds: number;
  readonly messages: number;
  readonly trackerRequests: number;
  /** WAN bytes in each second. */
  readonly egress: readonly number[];
}

const LAN = 1e9;
const DAY_SECONDS = 86_400;

/**
 * Runs one site whose clients start at random within `spreadMs`, until everybody is complete.
 * A client that starts at a is bound by max(a0 + F/W, a + F/L): one copy on the WAN, and its own port.
 */
export function runSite(options: SiteOptions, clients: number, spreadMs: number): SiteOutcome {
  const site = new SimSite(options);
  const random = seededRandom(options.seed);
  const starts = Array.from({ length: clients }, () => random.next() * spreadMs).toSorted((a, b) => a - b);
  for (const at of starts) site.clock.after(at, () => site.start());
  const egress: number[] = [];
  for (let before = 0; site.nodes.length < clients || site.unfinished > 0; ) {
    site.clock.advance(1000);
    egress.push(site.wan.bytes - before);
    before = site.wan.bytes;
    if (egress.length > DAY_SECONDS)
      throw new Error(`site ${options.seed}: not everybody completed in a day`);
  }
  const [wanMs, lanMs] = [options.wan, options.lan ?? LAN].map((rate) => (options.image.bytes * 8000) / rate);
  const first = starts[0] ?? 0;
  const ends = site.nodes.map((n) => n.completeAt ?? Number.POSITIVE_INFINITY);
  return {
    copies: site.wan.bytes / options.image.bytes,
    times: site.nodes.map(
      ({ startedAt }, i) =>
        ((ends[i] ?? 0) - startedAt) / (Math.max(first + (wanMs ?? 0), startedAt + (lanMs ?? 0)) - startedAt),
    ),
    clientSeconds: site.nodes.map((n, i) => ((ends[i] ?? 0) - n.startedAt) / 1000),
    seconds: Math.max(...ends) / 1000,
    messages: site.nodes.reduce((sum, n) => sum + n.messages, 0),
    trackerRequests: site.trackerRequests,
    egress,
  };
}

/** @param sorted ascending */
export function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}
