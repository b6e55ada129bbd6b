import { Bitfield } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import {
  type NodeOptions,
  type SimNode,
  SimSite,
  type SiteOptions,
  simImage,
  startCold,
  startDeriving,
} from "../src/index.js";

const MIB = 1024 * 1024;
const WAN = 50e6;
/** How long a promise may stand without rows: PROMISE_MS of the swarm. */
const PROMISE_MS = 15_000;
/** And how long it may on the word of its owner: PROMISE_WORD_MS. */
const PROMISE_WORD_MS = 90_000;
/** A row in 1.5 s, in bytes per ms: in PROMISE_MS less than a part in 64 of the rows. */
const SLOW = 65_536 / 1500;
/** Of the frames of the new version, those that the previous one has too: its first 95 %. */
const KEPT = 0.95;

const image = simImage(64 * MIB);
const frames = image.lengths.length - image.pieces;
const keptRows = (): Bitfield => {
  const rows = new Bitfield(image.lengths.length);
  for (let i = 0; i < Math.floor(frames * KEPT); i++) rows.add(image.pieces + i);
  return rows;
};
/** What must cross the WAN: the index, and frames that nobody can derive. */
const needed = image.bytes - [...keptRows().runs()].reduce((sum, { count }) => sum + count * 65_536, 0);
const site = (over: Partial<SiteOptions> = {}): SimSite => new SimSite({ image, seed: 1, wan: WAN, ...over });
/** WAN bytes over what had to cross it. */
const copies = (where: SimSite): number => where.wan.bytes / needed;

function finished(nodes: readonly SimNode[], where: SimSite, ms: number): boolean {
  for (let at = 0; at < ms && nodes.some((n) => n.completeAt === undefined); at += 100)
    where.clock.advance(100);
  return nodes.every((n) => n.completeAt !== undefined);
}
const servingNothing: NodeOptions["bend"] = (message) => (message.type === "piece" ? undefined : message);
const starts = (where: SimSite, count: number): SimNode[] =>
  Array.from({ length: count }, () => where.start());

describe("rows that a client derives never cross the WAN", () => {
  it.each([
    [3, 3, 100],
    [1, 9, 100],
    [1, 9, 10],
    [1, 39, 100],
  ])("%i that derive, %i that hold nothing, %i MB/s", (derivers, cold, mbPerSec) => {
    const where = site();
    for (let i = 0; i < derivers; i++) startDeriving(where, { rows: keptRows(), rate: mbPerSec * 1000 });
    starts(where, cold);
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
  });

  it("nor do pieces of the index that follow from an older one, once `kept` and `map` have come", () => {
    const lengths = new Uint32Array(70 + 100).fill(65_536);
    const index = { lengths, pieces: 70, bytes: lengths.length * 65_536 };
    const where = site({ image: index });
    // Row 0 is `hashes`, rows 1 to 4 are `kept` and `map`; the others follow from them and the older index.
    const following = new Bitfield(lengths.length);
    for (let row = 5; row < index.pieces; row++) following.add(row);
    for (let i = 0; i < 3; i++) {
      const held = new Set<number>();
      const node = where.start({
        onHeld: (runs) => {
          for (const run of runs)
            if (run.first < 5) for (let j = 0; j < run.count; j++) held.add(run.first + j);
          if (held.size < 5) return;
          held.clear();
          node.step({ type: "stored", runs: [...following.runs()], source: "local" });
          node.step({ type: "local-done" });
          node.learn();
        },
      });
      node.step({ type: "local-plan", rows: following });
    }
    starts(where, 3);
    expect(where.run(60_000)).toBe(true);
    const fresh = (5 + 100) * 65_536;
    expect(where.wan.bytes).toBeLessThanOrEqual(1.02 * fresh);
  });

  it("also when the others were there first", () => {
    const where = site();
    starts(where, 5);
    where.clock.advance(100);
    startDeriving(where, { rows: keptRows(), rate: 100_000 });
    expect(where.run(60_000)).toBe(true);
    // One claim of 2 MiB may have begun in that moment.
    expect(copies(where)).toBeLessThanOrEqual(1.02);
  });
});

describe("who derives slowly is waited for", () => {
  it.each([
    ["few rows come of it in fifteen seconds", 1, 2, 0, SLOW],
    ["nothing comes of it in the first minute", 1, 5, 60_000, 100_000],
    ["nothing in the first minute, then few rows, and two others are as slow", 3, 3, 60_000, SLOW],
  ])("when %s", (_, derivers, cold, leadMs, rate) => {
    const where = site();
    for (let i = 0; i < derivers; i++) startDeriving(where, { rows: keptRows(), rate, leadMs });
    expect(finished(starts(where, cold), where, 1_800_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.0);
  });
});

describe("a promise that is not kept", () => {
  it("of a peer that dies is forgotten at once, and the rest comes over the WAN", () => {
    const where = site();
    const deriver = startDeriving(where, { rows: keptRows(), rate: 5000 });
    const cold = starts(where, 5);
    where.clock.advance(5000);
    where.kill(deriver);
    const bound = (image.bytes * 8000) / WAN;
    expect(finished(cold, where, bound + 3000)).toBe(true);
    expect(where.wan.bytes).toBeLessThanOrEqual(1.02 * image.bytes);
  });

  it.each([
    ["nothing comes", 0, 0, PROMISE_MS],
    ["a row comes every two seconds, and no word", 65_536 / 2000, 0, PROMISE_MS],
    ["nothing comes but the word that it is at work", 0, Number.POSITIVE_INFINITY, PROMISE_WORD_MS],
  ])("costs a site the time of one deadline: %s", (_, rate, leadMs, deadlineMs) => {
    const where = site();
    const all = new Bitfield(image.lengths.length);
    for (let row = image.pieces; row < image.lengths.length; row++) all.add(row);
    const isMute = (): boolean => leadMs === 0 && where.clock.now() > 1000;
    startDeriving(where, {
      rows: all,
      rate,
      leadMs,
      bend: (message) => (message.type === "promise" && isMute() ? undefined : message),
    });
    const cold = starts(where, 5);
    const bound = (image.bytes * 8000) / WAN;
    expect(finished(cold, where, bound + deadlineMs + 5000)).toBe(true);
    expect(where.wan.bytes).toBeLessThanOrEqual(1.05 * image.bytes);
  });
});

describe("clients that hold nothing, beside clients of the previous version that have not looked for a new one", () => {
  it.each([
    [5, 1],
    [5, 20],
    [1, 20],
  ])("%i old ones, %i cold ones", (old, cold) => {
    const where = site();
    const previous = site({ clock: where.clock });
    for (let i = 0; i < old; i++) previous.start({ have: Bitfield.full(image.lengths.length) });
    for (let i = 0; i < cold; i++) startCold(where, previous, keptRows());
    expect(where.run(120_000)).toBe(true);
    expect(copies(where)).toBeLessThanOrEqual(1.02);
    expect(previous.wan.bytes).toBe(0);
  });

  it("take all over the WAN when there is nobody else after all", () => {
    const where = site();
    const previous = site({ clock: where.clock });
    for (let i = 0; i < 5; i++) startCold(where, previous, keptRows());
    expect(where.run(60_000)).toBe(true);
    expect(where.wan.bytes).toBeLessThanOrEqual(1.02 * image.bytes);
  });

  it("go on over the WAN when the last old one leaves", () => {
    const where = site();
    const previous = site({ clock: where.clock });
    const old = previous.start({ have: Bitfield.full(image.lengths.length), lanRate: 5000 });
    for (let i = 0; i < 5; i++) startCold(where, previous, keptRows());
    where.clock.advance(4000);
    previous.kill(old);
    const bound = (image.bytes * 8000) / WAN;
    expect(where.run(bound + 5000)).toBe(true);
    expect(where.wan.bytes).toBeLessThanOrEqual(1.02 * image.bytes);
  });

  it("get along without an old one that offers everything and serves nothing", () => {
    const where = site();
    const previous = site({ clock: where.clock });
    previous.start({ have: Bitfield.full(image.lengths.length), bend: servingNothing });
    for (let i = 0; i < 5; i++) startCold(where, previous, keptRows());
    const bound = (image.bytes * 8000) / WAN;
    expect(where.run(bound + 30_000)).toBe(true);
    expect(where.wan.bytes).toBeLessThanOrEqual(1.05 * image.bytes);
  });
});
