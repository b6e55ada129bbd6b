import { describe, expect, it } from "vitest";
import { SimSite, simImage } from "../src/index.js";
import { copies, MIB, site, slowest, starts } from "./scenario.js";

describe("a site takes one copy over the WAN", () => {
  it.each([1, 2, 4, 10, 20])("with %i clients that start in the same second", (clients) => {
    const where = site(64);
    starts(where, clients);
    expect(where.run(60_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
    expect(slowest(where)).toBeLessThanOrEqual(1.16);
  });

  it("with 20 cold clients of 256 MiB, the last within 1.05 of the time of one copy", () => {
    const where = site(256);
    starts(where, 20);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
    expect(slowest(where)).toBeLessThanOrEqual(1.05);
  });

  it("over 2.4 Gbit/s too, most of it within two seconds: there are claims enough from the first spans on", () => {
    const where = new SimSite({ image: simImage(256 * MIB, 256 * 1024), seed: 1, wan: 2.4e9 });
    starts(where, 20);
    where.clock.advance(2000);
    expect(copies(where)).toBeGreaterThan(0.75);
    expect(where.run(10_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
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

  it("when starts are spread over 15 minutes: whoever comes later pays nothing", () => {
    const where = site(32);
    for (let i = 0; i < 16; i++) {
      where.start();
      where.clock.advance(60_000);
    }
    expect(where.unfinished).toBe(0);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
    const [first = 0, ...later] = where.nodes.map((n) => (n.completeAt ?? Infinity) - n.startedAt);
    expect(Math.max(...later)).toBeLessThan(first / 2);
  });

  it("when messages on the LAN take up to 40 ms longer, each a different time", () => {
    const where = site(64, { lanJitterMs: 40 });
    starts(where, 12);
    expect(where.run(60_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
  });

  it("when some machines have a slow port", () => {
    const where = site(64);
    starts(where, 6);
    starts(where, 3, { lanRate: 10e6 / 8000, wanCap: 10e6 / 8000 });
    expect(where.run(300_000)).toBe(true);
    // What a slow machine holds alone and does not deliver in time comes over the WAN again.
    expect(copies(where)).toBeLessThanOrEqual(1.15);
    // 64 MiB at 10 Mbit/s take 54 s; the others do not wait for that.
    const [quick, slow] = [where.nodes.slice(0, 6), where.nodes.slice(6)].map((nodes) =>
      Math.max(...nodes.map((n) => (n.completeAt ?? Infinity) - n.startedAt)),
    );
    expect(slow).toBeGreaterThan(54_000);
    expect(quick).toBeLessThan(35_000);
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
    expect(copies(where)).toBeLessThanOrEqual(1.05);
  });

  it("when a fifth of the pairs cannot see each other", () => {
    const where = site(32);
    where.reaches = (a, b) => (a.index * 31 + b.index * 31 + a.index * b.index) % 5 !== 0;
    starts(where, 12);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.1);
  });
});
