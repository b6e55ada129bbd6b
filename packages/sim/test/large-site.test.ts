import { describe, expect, it } from "vitest";
import { hops } from "./hops.js";
import { copies, site, slowest, starts } from "./scenario.js";

describe("a site of 200 machines", () => {
  const where = site(64);
  starts(where, 200);
  const isDone = where.run(120_000);

  it("takes one copy, the last within 1.2 of the time of one copy", () => {
    expect(isDone).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
    expect(slowest(where)).toBeLessThanOrEqual(1.2);
  });

  it("stays within 64 KiB of control traffic per second and machine", () => {
    const seconds = where.clock.now() / 1000;
    expect(Math.max(...where.nodes.map((n) => n.controlBytes)) / seconds).toBeLessThanOrEqual(64 * 1024);
  });

  it("is one overlay of at most 36 links each, in which a claim reaches everybody within 4 hops", () => {
    expect(Math.max(...where.nodes.map((n) => n.links.size))).toBeLessThanOrEqual(36);
    for (const from of [0, 99, 199].flatMap((i) => where.nodes[i] ?? [])) {
      const found = hops(from);
      expect(found.size).toBe(200);
      expect(Math.max(...found.values())).toBeLessThanOrEqual(4);
    }
  });

  it("lets newcomers in and serves them without the WAN", () => {
    const before = where.wan.bytes;
    const late = starts(where, 5);
    expect(where.run(30_000)).toBe(true);
    expect(Math.min(...late.map((n) => n.links.size))).toBeGreaterThan(0);
    expect(where.wan.bytes - before).toBeLessThanOrEqual(late.length * 4096);
  });
});
