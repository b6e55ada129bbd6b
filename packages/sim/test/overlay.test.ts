import type { PeerMessage } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import type { SimNode } from "../src/index.js";
import { hops } from "./hops.js";
import { copies, site, starts } from "./scenario.js";

const MACHINES = 200;
/** Links of a full machine, those kept for newcomers, and those about to go. */
const MOST_LINKS = 24 + 8 + 4;
/** Time in which the near half finds itself once the site is quiet, ms. */
const CALM_MS = 120_000;
/** Hundreds of machines and minutes of their time, on a busy one. */
const LONG = { timeout: 300_000 };

function sum(list: readonly number[]): number {
  return list.reduce((a, b) => a + b, 0);
}

/** An insider that tells nothing of rows, links or peers, and serves nobody. */
function asks({ type }: PeerMessage): boolean {
  return type === "interested" || type === "request";
}

function live(nodes: readonly SimNode[]): SimNode[] {
  return nodes.filter((node) => node.isAlive);
}

/** Of the machines, the part that is linked with the next one in id order. */
function linkedWithNext(nodes: readonly SimNode[]): number {
  const ring = nodes.toSorted((a, b) => (a.peerId < b.peerId ? -1 : 1));
  const linked = ring.filter((node, i) => {
    const next = ring[(i + 1) % ring.length];
    return [...node.links.values()].some(({ to }) => to === next);
  });
  return linked.length / ring.length;
}

function expectOneOverlay(nodes: readonly SimNode[]): void {
  expect(Math.max(...nodes.map((node) => node.links.size))).toBeLessThanOrEqual(MOST_LINKS);
  for (const from of nodes.filter((_, i) => i % 20 === 0)) {
    const found = hops(from);
    expect(found.size).toBe(nodes.length);
    expect(Math.max(...found.values())).toBeLessThanOrEqual(4);
  }
}

describe("the overlay of 200 machines", LONG, () => {
  const where = site(8);
  starts(where, MACHINES);
  const isDone = where.run(60_000);
  where.clock.advance(CALM_MS);

  it("is connected, four hops wide at most, and nearly everybody is linked with the next in id order", () => {
    expect(isDone).toBe(true);
    expectOneOverlay(where.nodes);
    expect(linkedWithNext(where.nodes)).toBeGreaterThanOrEqual(0.95);
  });

  it("comes to rest: few links change when nobody comes or goes", () => {
    const before = where.nodes.map((node) => new Set(node.links.keys()));
    where.clock.advance(30_000);
    const kept = where.nodes.map(
      (node, i) => [...node.links.keys()].filter((id) => before[i]?.has(id)).length,
    );
    expect(sum(kept)).toBeGreaterThanOrEqual(0.9 * sum(before.map((links) => links.size)));
  });

  it("heals when a fifth leaves at once and as many come: they are let in, and cost no copy", () => {
    const before = where.wan.bytes;
    for (const node of where.nodes.filter((_, i) => i % 5 === 0)) where.kill(node);
    const late = starts(where, MACHINES / 5);
    expect(where.run(60_000)).toBe(true);
    expect(where.wan.bytes - before).toBeLessThanOrEqual(late.length * 4096);
    where.clock.advance(CALM_MS);
    expect(Math.min(...late.map((node) => node.links.size))).toBeGreaterThanOrEqual(12);
    expectOneOverlay(live(where.nodes));
    expect(linkedWithNext(live(where.nodes))).toBeGreaterThanOrEqual(0.9);
  });
});

describe("a machine around which somebody invents ids", LONG, () => {
  it("keeps honest links in half of its places, completes, and costs no copy", () => {
    const where = site(8);
    const honest = starts(where, 60);
    const [victim] = honest;
    if (victim === undefined) throw new Error("sixty started");
    for (let n = 1; n <= 30; n++) {
      const beside = `${victim.peerId.slice(0, 12)}${(0x8000 + n).toString(16)}${"0".repeat(48)}`;
      where.start({ peerId: beside, bend: (said) => (asks(said) ? said : undefined) });
    }
    for (let ms = 0; ms < 120_000 && honest.some((n) => n.completeAt === undefined); ms += 100)
      where.clock.advance(100);
    where.clock.advance(CALM_MS);
    expect(honest.every((node) => node.completeAt !== undefined)).toBe(true);
    const friends = [...victim.links.values()].filter(({ to }) => honest.includes(to));
    expect(friends.length).toBeGreaterThanOrEqual(12);
    expect(copies(where)).toBeLessThanOrEqual(1.05);
  });
});
