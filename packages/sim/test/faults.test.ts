import { Bitfield } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { SimOrigin } from "../src/index.js";
import { copies, MIB, site, starts, WAN } from "./scenario.js";

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

  it("when a machine's wall clock is set back an hour and it starts again", () => {
    const where = site(64);
    const nodes = starts(where, 6);
    where.clock.advance(4000);
    const mover = nodes.find((n) => n.moving > 0) ?? nodes[0];
    if (mover !== undefined) where.restart(mover, { wallSkewMs: -3_600_000 });
    where.clock.advance(1000);
    where.clock.setWall(-86_400_000);
    expect(where.run(60_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.06);
  });

  it("when two sites sit behind one public address and the tracker names everybody to everybody", () => {
    const where = site(32);
    where.reaches = (a, b) => a.index % 2 === b.index % 2;
    starts(where, 16);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(2.04);
  });

  it("when a new version is published in mid-transfer: each swarm takes one copy of what it lacks", () => {
    const where = site(32);
    const rows = where.image.lengths.length;
    const old = starts(where, 6);
    where.clock.advance(4000);
    // Half of the new version is equal, and each machine carries over what it holds of that.
    for (const node of old) {
      const have = node.rowsHeld();
      for (let row = rows >> 1; row < rows; row++) have.delete(row);
      where.start({ version: 2, image: where.image, have });
    }
    const before = where.wan.bytes / where.image.bytes;
    expect(before).toBeGreaterThan(0.1);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02 + 1.02);
    expect(where.nodes.every((n) => n.completeAt !== undefined)).toBe(true);
  });

  it("when the disk of one client is full", () => {
    const where = site(32);
    starts(where, 5);
    const full = where.start({ diskRows: 100 });
    expect(where.run(60_000)).toBe(true);
    expect(full.isAlive).toBe(false);
    expect(full.held).toBeLessThan(where.image.lengths.length / 2);
    expect(copies(where)).toBeLessThanOrEqual(1.05);
  });

  it("when the origin gives three sites less than their links carry: each its share, and one copy", () => {
    const clock = new VirtualClock();
    const origin = new SimOrigin(60e6);
    const sites = [1, 2, 3].map((seed) => site(16, { seed, clock, origin }));
    for (const where of sites) starts(where, 4);
    clock.advance(60_000);
    expect(sites.map((where) => where.unfinished)).toEqual([0, 0, 0]);
    expect(Math.max(...sites.map(copies))).toBeLessThanOrEqual(1.02);
    const last = Math.max(...sites.flatMap((where) => where.nodes.map((n) => n.completeAt ?? Infinity)));
    expect(last).toBeLessThan(1.25 * ((3 * 16 * MIB * 8000) / 60e6));
  });
});
