import { Bitfield } from "@ckmesh/core";
import type { PeerMessage } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import {
  BAD_PIECE,
  type NodeOptions,
  type SimNode,
  SimSite,
  type SiteOptions,
  simImage,
} from "../src/index.js";

const MIB = 1024 * 1024;
const WAN = 50e6;

function site(mib: number, over: Partial<SiteOptions> = {}): SimSite {
  return new SimSite({ image: simImage(mib * MIB), seed: 1, wan: WAN, ...over });
}
function starts(where: SimSite, count: number, options: NodeOptions = {}): SimNode[] {
  return Array.from({ length: count }, () => where.start(options));
}
/** WAN bytes over image bytes. */
const copies = (where: SimSite): number => where.wan.bytes / where.image.bytes;
/** Slowest completion over the time that one copy takes on the WAN. */
function slowest(where: SimSite): number {
  const bound = (where.image.bytes * 8000) / WAN;
  return Math.max(
    ...where.nodes.filter((n) => n.isAlive).map((n) => ((n.completeAt ?? Infinity) - n.startedAt) / bound),
  );
}
function finished(nodes: readonly SimNode[], where: SimSite, ms: number): boolean {
  for (let at = 0; at < ms && nodes.some((n) => n.completeAt === undefined); at += 100)
    where.clock.advance(100);
  return nodes.every((n) => n.completeAt !== undefined);
}

describe("a site takes one copy over the WAN", () => {
  it.each([1, 2, 4, 10, 20])("with %i clients that start in the same second", (clients) => {
    const where = site(64);
    starts(where, clients);
    expect(where.run(60_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
    expect(slowest(where)).toBeLessThanOrEqual(clients <= 10 ? 1.2 : 1.3);
  });

  it.each([
    ["of an 8 GiB disk, 5.7 MB", 87],
    ["of a small disk, one piece", 1],
  ])("of the index too, its hashes included: 20 clients, an index %s", (_, pieces) => {
    const lengths = new Uint32Array(1 + pieces + 64).fill(65_536);
    lengths[0] = 24_576;
    const bytes = lengths.reduce((sum, length) => sum + length, 0);
    const where = site(0, { image: { lengths, pieces: 1 + pieces, bytes } });
    starts(where, 20);
    expect(where.run(60_000)).toBe(true);
    // Every frame came at least once; all else is index.
    const frames = 64 * 65_536;
    expect((where.wan.bytes - frames) / (bytes - frames)).toBeLessThanOrEqual(1.1);
  });

  it("with the same event log for the same seed", () => {
    const logs = [1, 2].map(() => {
      const where = site(8);
      starts(where, 6);
      where.run(60_000);
      return where.nodes
        .map((n) => `${n.completeAt} ${n.messages} ${n.rows.origin} ${n.rows.peers}`)
        .join("\n");
    });
    expect(logs[0]).toBe(logs[1]);
  });

  it("without a tracker, by LAN announcements", () => {
    const where = site(32, { hasTracker: false, hasMulticast: true });
    starts(where, 6);
    expect(where.run(60_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
  });

  it("when clients arrive over time, late ones for nothing", () => {
    const where = site(32);
    for (let i = 0; i < 10; i++) {
      where.start();
      where.clock.advance(1500);
    }
    expect(where.run(60_000)).toBe(true);
    const before = where.wan.bytes;
    where.start();
    expect(where.run(10_000)).toBe(true);
    expect(where.wan.bytes).toBe(before);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
  });

  it("when the first to arrive has a slow machine", () => {
    const where = site(32);
    where.start({ wanCap: 0.5e6 / 8000 });
    where.clock.advance(4000);
    starts(where, 5);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.05);
    expect(slowest(where)).toBeLessThan(2.5);
  });

  it("when the link is so thin that a row takes many seconds", () => {
    const where = new SimSite({ image: simImage(3 * MIB), seed: 1, wan: 0.25e6 });
    starts(where, 6);
    expect(where.run(600_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.05);
  });

  it("when every message on the LAN takes a second", () => {
    const where = site(32, { lanMs: 1000 });
    starts(where, 8);
    expect(where.run(300_000)).toBe(true);
    // Links take longer to come up than the settle time: what is fetched before counts twice.
    expect(copies(where)).toBeLessThanOrEqual(1.2);
  });

  it("when a fifth of the pairs cannot see each other", () => {
    const where = site(32);
    where.reaches = (a, b) => (a.index * 31 + b.index * 31 + a.index * b.index) % 5 !== 0;
    starts(where, 12);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.1);
  });
});

describe("a site lives through faults", () => {
  it("when fetchers die in mid-span", () => {
    const where = site(64);
    const nodes = starts(where, 8);
    for (let kills = 0; kills < 3; kills++) {
      where.clock.advance(2500);
      const victim = nodes.find((n) => n.isAlive && n.moving > 0);
      if (victim !== undefined) where.kill(victim);
    }
    expect(where.run(60_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.12);
  });

  it("when the tracker dies at a quarter and newcomers find the site by multicast", () => {
    const where = site(32, { hasMulticast: true });
    starts(where, 5);
    where.clock.advance(2000);
    where.setTracker(false);
    where.clock.advance(1000);
    where.start();
    expect(where.run(60_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.05);
  });

  it("when the WAN is cut for 15 seconds and connections hang", () => {
    const where = site(64);
    starts(where, 6);
    where.clock.advance(5000);
    where.setWan(0);
    where.clock.advance(15_000);
    where.setWan(WAN);
    expect(where.run(60_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.12);
  });

  it("when the origin goes away and comes back", () => {
    const where = site(32);
    starts(where, 5);
    where.clock.advance(3000);
    where.setOrigin(false);
    where.clock.advance(40_000);
    where.setOrigin(true);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.05);
  });

  it("without the origin once the union is in the site", () => {
    const where = site(16);
    where.setOrigin(false);
    const rows = where.image.lengths.length;
    for (const part of [0, 1, 2]) {
      const have = new Bitfield(rows);
      for (let row = 0; row < rows; row++) if (row < where.image.pieces || row % 3 === part) have.add(row);
      where.start({ have });
    }
    expect(where.run(30_000)).toBe(true);
    expect(where.wan.bytes).toBe(0);
  });

  it("when the LAN is cut in two and healed: two copies at most", () => {
    const where = site(32);
    starts(where, 8);
    where.clock.advance(2000);
    where.partition((a, b) => a.index % 2 === b.index % 2);
    where.clock.advance(2000);
    where.partition(() => true);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(2);
  });

  it("when no client sees another: each fetches for itself", () => {
    const where = site(8);
    where.reaches = () => false;
    starts(where, 3);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeCloseTo(3, 1);
  });

  it("when machines come and go all the time", () => {
    const where = site(64);
    starts(where, 10);
    for (let i = 0; i < 12; i++) {
      where.clock.advance(800);
      const victim = where.nodes.find((n) => n.isAlive && n.index % 3 === i % 3);
      if (victim !== undefined) where.kill(victim);
      where.start();
    }
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.2);
  });
});

describe("a site lives with a bad peer", () => {
  const bends: Record<string, (message: PeerMessage) => PeerMessage | undefined> = {
    "sends bad rows": (m) => (m.type === "piece" ? { ...m, bytes: BAD_PIECE } : m),
    "offers everything and serves nothing": (m) => {
      if (m.type === "have-none" || m.type === "bitfield") return { type: "have-all" };
      return m.type === "piece" || m.type === "reject" ? undefined : m;
    },
    "offers everything and refuses": (m) => {
      if (m.type === "have-none" || m.type === "bitfield") return { type: "have-all" };
      return m.type === "piece" ? undefined : m;
    },
    "claims and moves nothing, but says it does": (m) =>
      m.type === "claim"
        ? { ...m, claim: { ...m.claim, state: "moving", bytesDone: m.claim.bytesDone + 1 } }
        : m,
    "forges claims of others": (m) =>
      m.type === "claim" ? { ...m, claim: { ...m.claim, claimer: "ab".repeat(32), epoch: 1e9 } } : m,
    "says it holds nothing": (m) => (m.type === "have" || m.type === "have-all" ? undefined : m),
  };

  it.each(Object.keys(bends))("that %s", (what) => {
    const where = site(32);
    const bend = bends[what];
    where.start(bend === undefined ? {} : { bend });
    const honest = starts(where, 5);
    expect(finished(honest, where, 300_000)).toBe(true);
    const fetched = honest.reduce((sum, n) => sum + n.rows.origin, 0);
    expect(fetched / where.image.lengths.length).toBeLessThanOrEqual(1.5);
  });
});

it("a site of 60 machines stays within 64 KiB of control traffic per second and machine", () => {
  const where = site(32, { wan: 100e6 });
  starts(where, 60);
  expect(where.run(120_000)).toBe(true);
  expect(copies(where)).toBeLessThanOrEqual(1.05);
  const seconds = where.clock.now() / 1000;
  expect(Math.max(...where.nodes.map((n) => n.controlBytes)) / seconds).toBeLessThanOrEqual(64 * 1024);
}, 120_000);
