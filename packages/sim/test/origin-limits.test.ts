import type { PeerMessage } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import { type NodeOptions, type SimNode, SimSite, simImage } from "../src/index.js";

const MIB = 1024 * 1024;
const WAN = 50e6;

function site(mib: number): SimSite {
  return new SimSite({ image: simImage(mib * MIB), seed: 1, wan: WAN });
}
function starts(where: SimSite, count: number, options: NodeOptions = {}): SimNode[] {
  return Array.from({ length: count }, () => where.start(options));
}
/** WAN bytes over image bytes. */
const copies = (where: SimSite): number => where.wan.bytes / where.image.bytes;
const seconds = (where: SimSite): number => where.clock.now() / 1000;

/** Whatever it claims, it claims to have to wait. */
const pausing = (message: PeerMessage): PeerMessage =>
  message.type === "claim"
    ? { ...message, claim: { ...message.claim, state: "paused", pauseMs: 3_600_000 } }
    : message;

describe("a site that the origin tells to wait", () => {
  it.each([500, 3000, 10_000, 45_000])(
    "for %i ms at a time takes one copy all the same, and hardly asks meanwhile",
    (retryMs) => {
      const where = site(32);
      starts(where, 10);
      where.clock.advance(4000);
      where.originLimit = { transfers: 0, retryMs };
      where.clock.advance(40_000);
      where.originLimit = undefined;
      expect(where.run(120_000)).toBe(true);
      expect(copies(where)).toBeLessThanOrEqual(1.02);
      // Those four that moved are told so; then one look per pause, by those only who were told.
      expect(where.refusals).toBeLessThanOrEqual(4 + 4 * Math.ceil(40_000 / Math.max(1000, retryMs)));
    },
  );

  it("goes on within seconds of the end of the wait", () => {
    const where = site(32);
    starts(where, 10);
    where.clock.advance(4000);
    where.originLimit = { transfers: 0, retryMs: 20_000 };
    where.clock.advance(10_000);
    where.originLimit = undefined;
    expect(where.run(60_000)).toBe(true);
    const bound = (where.image.bytes * 8) / WAN;
    expect(seconds(where)).toBeLessThanOrEqual(20 + 4 + bound + 4);
  });

  it("for an hour asks at most once per machine, and shares what it holds", () => {
    const where = site(32);
    starts(where, 8);
    where.clock.advance(5000);
    where.originLimit = { transfers: 0, retryMs: 3_600_000 };
    where.clock.advance(600_000);
    expect(where.refusals).toBeLessThanOrEqual(8);
    const held = where.nodes.map((node) => node.held);
    expect(Math.min(...held)).toBe(Math.max(...held));
    expect(Math.min(...held)).toBeGreaterThan(10);
    where.originLimit = undefined;
    expect(where.run(3_600_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
  });

  it("may hold one transfer at a time: nobody stops the one that moves", () => {
    const where = site(64);
    where.originLimit = { transfers: 1, retryMs: 4000 };
    starts(where, 10);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
    const bound = (where.image.bytes * 8) / WAN;
    expect(seconds(where)).toBeLessThanOrEqual(1.5 * bound + 3);
  });

  it("loses nothing when the machine that was told leaves", () => {
    const where = site(32);
    const nodes = starts(where, 6);
    where.clock.advance(4000);
    where.originLimit = { transfers: 0, retryMs: 30_000 };
    where.clock.advance(3000);
    where.originLimit = undefined;
    for (const node of nodes.slice(0, 3)) where.kill(node);
    expect(where.run(90_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.1);
  });
});

describe("a peer that says for ever that the origin told it to wait", () => {
  it("costs the site a bounded time", () => {
    const where = site(16);
    where.start({ bend: pausing, wanCap: 1e-6 });
    const honest = starts(where, 5);
    while (where.clock.now() < 300_000 && honest.some((node) => node.completeAt === undefined))
      where.clock.advance(100);
    const slowest = Math.max(...honest.map((node) => node.completeAt ?? Number.POSITIVE_INFINITY));
    expect(slowest).toBeLessThanOrEqual(120_000);
    const fetched = honest.reduce((sum, node) => sum + node.rows.origin, 0);
    expect(fetched / where.image.lengths.length).toBeLessThanOrEqual(1.5);
  });
});
