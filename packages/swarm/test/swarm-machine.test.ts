import { Bitfield } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { Site, type SiteOptions } from "./site.js";

const KIB = 1024;
const MBIT_50 = 6250;
const image = (mib: number): Pick<SiteOptions, "pieces" | "frames"> => ({
  pieces: [20 * KIB, ...Array.from({ length: 8 }, () => 64 * KIB)],
  frames: Array.from({ length: mib * 16 }, () => 64 * KIB),
});
const bound = (site: Site): number => site.bytes / MBIT_50;

describe("a site of machines", () => {
  it("lets one client without peers fetch everything once", () => {
    const site = new Site({ clients: 1, ...image(16), wanBytesPerMs: MBIT_50, swarming: false });
    expect(site.run(60_000)).toBe(true);
    expect(site.wanBytes).toBeLessThan(site.bytes * 1.001);
  });

  it.each([2, 4, 10, 20])("takes one copy over the WAN with %i clients that start together", (clients) => {
    const site = new Site({ clients, ...image(64), wanBytesPerMs: MBIT_50 });
    site.introduce();
    expect(site.run(120_000)).toBe(true);
    const last = Math.max(...site.nodes.map((n) => n.completeAt ?? 0));
    expect(site.wanBytes / site.bytes).toBeLessThan(1.02);
    expect(last / bound(site)).toBeLessThan(1.4);
  });

  it("serves a late joiner from its peers alone", () => {
    const site = new Site({ clients: 3, ...image(16), wanBytesPerMs: MBIT_50 });
    site.introduce();
    expect(site.run(60_000)).toBe(true);
    const before = site.wanBytes;
    site.addNode();
    site.introduce();
    expect(site.run(10_000)).toBe(true);
    expect(site.wanBytes).toBe(before);
  });

  it("goes on when a client dies in the middle", () => {
    const site = new Site({ clients: 5, ...image(32), wanBytesPerMs: MBIT_50 });
    site.introduce();
    expect(site.run(2500)).toBe(false);
    const victim = site.nodes.find((n) => n.rows.origin > 0);
    if (victim !== undefined) site.kill(victim);
    expect(site.run(60_000)).toBe(true);
    expect(site.wanBytes / site.bytes).toBeLessThan(1.12);
  });

  it("finishes without the origin once the site holds everything in union", () => {
    const options = { clients: 0, ...image(16), wanBytesPerMs: MBIT_50 };
    const site = new Site(options);
    site.originIsUp = false;
    const rows = options.pieces.length + options.frames.length;
    for (const part of [0, 1, 2]) {
      const have = new Bitfield(rows);
      for (let row = 0; row < rows; row++) if (row < options.pieces.length || row % 3 === part) have.add(row);
      const node = site.addNode(have);
      node.step({ type: "frames", lengths: Uint32Array.from(options.frames) });
    }
    site.introduce();
    expect(site.run(30_000)).toBe(true);
    expect(site.wanBytes).toBe(0);
  });

  it("bans a peer that sends bad rows and completes without it", () => {
    const site = new Site({ clients: 4, ...image(16), wanBytesPerMs: MBIT_50 });
    const liar = site.nodes[0];
    site.intercept = (from, message) =>
      from === liar && message.type === "piece" ? { ...message, bytes: new Uint8Array(1) } : message;
    site.introduce();
    const honest = (): boolean => site.nodes.slice(1).every((n) => n.completeAt !== undefined);
    for (let i = 0; i < 120 && !honest(); i++) site.run(1000);
    expect(honest()).toBe(true);
    // The liar, shut out, pays for a copy of its own; the others share theirs.
    const rows = site.nodes.slice(1).reduce((sum, n) => sum + n.rows.origin, 0);
    expect(rows / (site.nodes[1]?.machine.status().held ?? 1)).toBeLessThan(1.2);
  });

  it("completes beside a peer that offers everything and serves nothing", () => {
    const site = new Site({ clients: 3, ...image(8), wanBytesPerMs: MBIT_50 });
    const liar = site.nodes[0];
    site.intercept = (from, message) => {
      if (from !== liar) return message;
      if (message.type === "have-none" || message.type === "bitfield") return { type: "have-all" };
      return message.type === "piece" || message.type === "reject" ? undefined : message;
    };
    site.introduce();
    const honest = (): boolean => site.nodes.slice(1).every((n) => n.completeAt !== undefined);
    for (let i = 0; i < 300 && !honest(); i++) site.run(1000);
    expect(honest()).toBe(true);
  });
});
