import { type NodeOptions, type SimNode, SimSite, type SiteOptions, simImage } from "../src/index.js";

export const MIB = 1024 * 1024;
export const WAN = 50e6;

/** A site with an image of `mib` MiB behind 50 Mbit/s. */
export function site(mib: number, over: Partial<SiteOptions> = {}): SimSite {
  return new SimSite({ image: simImage(mib * MIB), seed: 1, wan: WAN, ...over });
}

/** Machines that start now. */
export function starts(where: SimSite, count: number, options: NodeOptions = {}): SimNode[] {
  return Array.from({ length: count }, () => where.start(options));
}

/** WAN bytes over image bytes. */
export function copies(where: SimSite): number {
  return where.wan.bytes / where.image.bytes;
}

/** Slowest completion over the time that one copy takes on the WAN. */
export function slowest(where: SimSite, wan = WAN): number {
  const bound = (where.image.bytes * 8000) / wan;
  const live = where.nodes.filter((n) => n.isAlive);
  return Math.max(...live.map((n) => ((n.completeAt ?? Infinity) - n.startedAt) / bound));
}

/** Runs until these are complete; false when `ms` pass first. */
export function finished(nodes: readonly SimNode[], where: SimSite, ms: number): boolean {
  for (let at = 0; at < ms && nodes.some((n) => n.completeAt === undefined); at += 100)
    where.clock.advance(100);
  return nodes.every((n) => n.completeAt !== undefined);
}

/** Rows that these fetched over the WAN, in images. */
export function fetched(nodes: readonly SimNode[]): number {
  return nodes.reduce((sum, n) => sum + n.rows.origin / n.image.lengths.length, 0);
}
