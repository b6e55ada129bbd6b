import { type WanLimit, WanPacer } from "@ckmesh/swarm";
import { describe, expect, it } from "vitest";
import { type SimNode, SimSite, type SiteOptions, simImage } from "../src/index.js";

const MIB = 1024 * 1024;
const WAN = 50e6;
const NONE: WanLimit = { type: "none" };
const YIELD: WanLimit = { type: "yield" };
const cap = (bits: number): WanLimit => ({ type: "rate", bytesPerSec: bits / 8 });

function site(mib: number, over: Partial<SiteOptions> = {}): SimSite {
  return new SimSite({ image: simImage(mib * MIB), seed: 1, wan: WAN, wanQueueMs: 50, ...over });
}

/** Clients that start in the same second, each with a pacer of its own. */
function starts(where: SimSite, count: number, limit: WanLimit): { nodes: SimNode[]; pacers: WanPacer[] } {
  const pacers = Array.from({ length: count }, () => new WanPacer(limit));
  return { nodes: pacers.map((wan) => where.start({ wan })), pacers };
}

/** Bits per second of the WAN, second by second, until all are complete or `seconds` are over. */
function rates(where: SimSite, seconds: number): number[] {
  const out: number[] = [];
  for (let second = 0; second < seconds; second++) {
    const before = where.wan.bytes;
    where.clock.advance(1000);
    out.push((where.wan.bytes - before) * 8);
    if (where.nodes.every((n) => !n.isAlive || n.completeAt !== undefined)) break;
  }
  return out;
}

/** Means over every window of five seconds. */
function windows(perSecond: readonly number[]): number[] {
  return perSecond.slice(4).map((_, at) => perSecond.slice(at, at + 5).reduce((a, b) => a + b, 0) / 5);
}

function limitAll(where: SimSite, pacers: readonly WanPacer[], limit: WanLimit, open = true): void {
  for (const pacer of pacers) pacer.setLimit(limit);
  for (const node of where.nodes) node.step({ type: "origin-gate", open });
}

/** A TCP flow of somebody else over the same link. */
function competitor(where: SimSite): { bytes: number; stop: () => void } {
  const flow = {
    bytes: 0,
    cap: Number.POSITIVE_INFINITY,
    nextBytes: () => 10_000,
    arrived: () => {
      counted.bytes += 10_000;
      return true;
    },
  };
  const counted = { bytes: 0, stop: () => where.wan.remove(flow) };
  where.wan.add(flow);
  return counted;
}

/** Bits per second over `ms`. */
function rateOver(where: SimSite, ms: number): number {
  const before = where.wan.bytes;
  where.clock.advance(ms);
  return ((where.wan.bytes - before) * 8000) / ms;
}

describe("the WAN budget of a site", () => {
  it.each([
    [1, 20],
    [8, 20],
    [8, 5],
  ])("is kept and used as a sum: %i clients, %i Mbit/s", (clients, mbit) => {
    const where = site(Math.max(48, mbit * 4));
    starts(where, clients, cap(mbit * 1e6));
    const all = windows(rates(where, 120));
    expect(Math.max(...all)).toBeLessThanOrEqual(1.05 * mbit * 1e6);
    // At first peers are looked for; at the end there are fewer spans than movers.
    expect(Math.min(...all.slice(4, -6))).toBeGreaterThanOrEqual(0.85 * mbit * 1e6);
    expect(where.wan.bytes / where.image.bytes).toBeLessThanOrEqual(1.02);
  });

  it("is kept where a row takes half a second", () => {
    const where = site(4);
    starts(where, 4, cap(1e6));
    const all = windows(rates(where, 120));
    expect(Math.max(...all)).toBeLessThanOrEqual(1.1e6);
    expect(where.nodes.every((n) => n.completeAt !== undefined)).toBe(true);
  });

  it("goes to the others where one machine cannot use its share", () => {
    const where = site(60);
    where.start({ wan: new WanPacer(cap(20e6)), wanCap: 1e6 / 8000 });
    starts(where, 5, cap(20e6));
    const all = windows(rates(where, 120));
    expect(Math.max(...all)).toBeLessThanOrEqual(1.05 * 20e6);
    expect(Math.min(...all.slice(6, -6))).toBeGreaterThanOrEqual(0.85 * 20e6);
  });

  it("is shared anew when clients come and go, without more than the sum", () => {
    const where = site(100);
    const { nodes } = starts(where, 2, cap(20e6));
    const all: number[] = [...rates(where, 8)];
    starts(where, 4, cap(20e6));
    all.push(...rates(where, 8));
    const [first] = nodes;
    if (first !== undefined) where.kill(first);
    all.push(...rates(where, 8));
    const seen = windows(all);
    expect(Math.max(...seen)).toBeLessThanOrEqual(1.05 * 20e6);
    expect(Math.min(...seen.slice(4))).toBeGreaterThanOrEqual(0.8 * 20e6);
  });

  it("is obeyed within five seconds of each edge", () => {
    const where = site(200);
    const { pacers } = starts(where, 6, NONE);
    where.clock.advance(6000);
    limitAll(where, pacers, cap(5e6));
    where.clock.advance(1000);
    expect(rateOver(where, 4000)).toBeLessThanOrEqual(1.05 * 5e6);
    limitAll(where, pacers, cap(5e6), false);
    expect(rateOver(where, 1000)).toBeLessThan(0.1e6);
    expect(rateOver(where, 30_000)).toBe(0);
    limitAll(where, pacers, NONE);
    where.clock.advance(2000);
    expect(rateOver(where, 4000)).toBeGreaterThanOrEqual(0.95 * WAN);
    expect(where.run(60_000)).toBe(true);
    // Nobody has lost patience meanwhile.
    expect(where.wan.bytes / where.image.bytes).toBeLessThanOrEqual(1.02);
  });

  it("lets peers go on while nothing may come over the WAN", () => {
    const where = site(16);
    starts(where, 1, NONE);
    expect(where.run(20_000)).toBe(true);
    const late = where.start({ wan: new WanPacer(NONE) });
    late.step({ type: "origin-gate", open: false });
    expect(where.run(20_000)).toBe(true);
    expect(late.rows.origin).toBe(0);
  });
});

describe("yielding to others on the link", () => {
  const LINKS = [
    [4, 50e6, 1],
    [8, 50e6, 30],
    [8, 10e6, 5],
    [1, 10e6, 5],
  ] as const;

  it.each(LINKS)("leaves nothing of an idle link: %i clients, %i bit/s, %i ms", (clients, wan, wanMs) => {
    const where = site((wan / 1e6) * 4, { wan, wanMs });
    const { pacers } = starts(where, clients, YIELD);
    where.clock.advance(10_000);
    expect(rateOver(where, 10_000)).toBeGreaterThanOrEqual(0.95 * wan);
    expect(where.run(120_000)).toBe(true);
    expect(where.wan.bytes / where.image.bytes).toBeLessThanOrEqual(1.02);
    expect(Math.max(...pacers.map((pacer) => pacer.best * 8))).toBeGreaterThanOrEqual(0.9 * wan);
  });

  it.each(LINKS)(
    "leaves four fifths to a TCP flow, and takes it back: %i clients, %i bit/s, %i ms",
    (clients, wan, wanMs) => {
      const where = site((wan / 1e6) * 10, { wan, wanMs });
      starts(where, clients, YIELD);
      where.clock.advance(12_000);
      const other = competitor(where);
      where.clock.advance(5000);
      const [bytes, held] = [other.bytes, where.nodes.map((n) => n.held)];
      where.clock.advance(15_000);
      expect((other.bytes - bytes) * 8).toBeGreaterThanOrEqual(0.8 * wan * 15);
      // But it goes on.
      expect(where.nodes.every((n, at) => n.held > (held[at] ?? 0))).toBe(true);
      other.stop();
      where.clock.advance(6000);
      expect(rateOver(where, 5000)).toBeGreaterThanOrEqual(0.85 * wan);
    },
  );

  it("does not leave the pace to a slow machine that came first", () => {
    const where = site(32);
    where.start({ wan: new WanPacer(YIELD), wanCap: 0.5e6 / 8000 });
    where.clock.advance(3000);
    starts(where, 5, YIELD);
    expect(where.run(60_000)).toBe(true);
    const bound = (where.image.bytes * 8000) / WAN;
    expect(Math.max(...where.nodes.map((n) => (n.completeAt ?? Infinity) - 3000))).toBeLessThanOrEqual(
      2.2 * bound,
    );
    expect(where.wan.bytes / where.image.bytes).toBeLessThanOrEqual(1.1);
  });
});
