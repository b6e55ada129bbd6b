import type { Claim } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import { ClaimTable, type Contender, compareClaims } from "../src/claim-table.js";
import {
  BAR_MS,
  CLAIM_VOID_MS,
  DONE_CLAIM_MS,
  MAX_CLAIMS,
  MAX_OPEN_CLAIMS,
  MAX_PAUSE_MS,
  MAX_VOID_CLAIMS,
  MAX_VOID_MS,
} from "../src/constants.js";

const claim = (over: Partial<Claim> = {}): Claim => ({
  span: 3,
  rows: { first: 30, count: 10 },
  claimer: "aa",
  epoch: 1,
  bytesDone: 0,
  rate: 1_000_000,
  state: "open",
  key: new Uint8Array(32),
  signature: new Uint8Array(64),
  ...over,
});
const covered = (table: ClaimTable, row: number, now: number): boolean =>
  table.covering(3, row, now).next().done !== true;

describe("ClaimTable", () => {
  it("covers the rows of an open claim until it is released", () => {
    const table = new ClaimTable();
    expect(table.add(claim(), 1, 0)).toBe("new");
    expect([29, 30, 39, 40].map((row) => covered(table, row, 1))).toEqual([false, true, true, false]);
    table.add(claim({ epoch: 2, state: "released" }), 1, 2);
    expect(covered(table, 30, 2)).toBe(false);
  });

  it("tells news from repeats and old messages", () => {
    const table = new ClaimTable();
    table.add(claim({ epoch: 2, state: "moving", bytesDone: 100 }), 1, 0);
    expect(table.add(claim({ epoch: 2, state: "moving", bytesDone: 100 }), 1, 1)).toBe("repeat");
    expect(table.add(claim({ epoch: 1, state: "open" }), 1, 1)).toBe("stale");
    expect(table.add(claim({ epoch: 3, state: "moving", bytesDone: 200 }), 1, 1)).toBe("progress");
  });

  it("does not bring a claim back with an older epoch", () => {
    const table = new ClaimTable();
    table.add(claim({ epoch: 2, state: "released" }), 1, 0);
    expect(table.add(claim({ epoch: 1, state: "moving", bytesDone: 5 }), 1, 1)).toBe("stale");
    expect(covered(table, 30, 1)).toBe(false);
  });

  it("voids a claim that stands still, and revives it when it moves again", () => {
    const table = new ClaimTable();
    table.add(claim(), 1, 0);
    expect(table.expire(CLAIM_VOID_MS - 1, 0)).toEqual([]);
    expect(table.expire(CLAIM_VOID_MS, 0)).toEqual([3]);
    expect(covered(table, 30, CLAIM_VOID_MS)).toBe(false);
    table.add(claim({ epoch: 2 }), 1, CLAIM_VOID_MS);
    expect(covered(table, 30, CLAIM_VOID_MS)).toBe(false);
    table.add(claim({ epoch: 3, state: "moving", bytesDone: 1 }), 1, CLAIM_VOID_MS + 1);
    expect(covered(table, 30, CLAIM_VOID_MS + 1)).toBe(true);
  });

  it("gives a claimer time for two rows at the rate that it claims, and ten seconds while that is unknown", () => {
    const table = new ClaimTable();
    table.add(claim({ claimer: "slow", rate: 8192 }), 1, 0);
    table.add(claim({ claimer: "new", rate: 0 }), 1, 0);
    table.add(claim({ claimer: "liar", rate: 1 }), 1, 0);
    const voidAt = (now: number): number => table.expire(now, 0).length;
    expect([voidAt(9999), voidAt(10_000), voidAt(15_999), voidAt(16_000)]).toEqual([0, 1, 0, 1]);
    expect([voidAt(MAX_VOID_MS - 1), voidAt(MAX_VOID_MS)]).toEqual([0, 1]);
  });

  it("counts only the progress that the claimer's haves bear out", () => {
    const table = new ClaimTable();
    table.add(claim({ state: "moving", bytesDone: 100 }), 1, 0, 100);
    table.add(claim({ epoch: 2, state: "moving", bytesDone: 900 }), 1, CLAIM_VOID_MS - 1, 100);
    expect(table.expire(CLAIM_VOID_MS, 0)).toEqual([3]);
  });

  it("bars a peer whose claims never move", () => {
    const table = new ClaimTable();
    for (let span = 0, now = 0; span < MAX_VOID_CLAIMS; span++, now += CLAIM_VOID_MS) {
      table.add(claim({ span, epoch: span + 1 }), 1, now);
      table.expire(now + CLAIM_VOID_MS, 0);
    }
    expect(table.add(claim({ span: 9, epoch: 99 }), 1, 20_000)).toBe("excess");
    expect(table.add(claim({ span: 9, epoch: 99 }), 1, 20_000 + BAR_MS)).toBe("new");
  });

  it("forgets a finished claim that no have covers after its time", () => {
    const table = new ClaimTable();
    table.add(claim({ state: "done", bytesDone: 9 }), 1, 0);
    expect(covered(table, 30, DONE_CLAIM_MS - 1)).toBe(true);
    expect(covered(table, 30, DONE_CLAIM_MS)).toBe(false);
  });

  it("lets one peer hold two open claims: a third ends the oldest, unless it is older itself", () => {
    const table = new ClaimTable();
    for (let span = 0; span <= MAX_OPEN_CLAIMS; span++)
      expect(table.add(claim({ span, epoch: 10 + span }), 1, 0)).toBe("new");
    expect(table.active().map((known) => known.claim.span)).toEqual([1, 2]);
    expect(table.add(claim({ span: 9, epoch: 1 }), 1, 0)).toBe("excess");
  });

  it("stays bounded when many peers claim everything", () => {
    const table = new ClaimTable();
    let kept = 0;
    for (let i = 0; i < MAX_CLAIMS + 100; i++)
      kept += Number(table.add(claim({ span: i, claimer: `p${i}` }), 1, 0) === "new");
    expect(kept).toBe(MAX_CLAIMS);
  });

  it("holds a paused claim for as long as it says, and then for its void time", () => {
    const table = new ClaimTable();
    table.add(claim({ state: "paused", pauseMs: 20_000 }), 1, 0);
    expect(table.deadline(0)).toBe(20_000 + CLAIM_VOID_MS);
    expect(table.expire(20_000 + CLAIM_VOID_MS - 1, 0)).toEqual([]);
    expect(covered(table, 30, 20_000)).toBe(true);
    expect(table.expire(20_000 + CLAIM_VOID_MS, 0)).toEqual([3]);
  });

  it("believes pauses for a bounded time in all, until bytes moved", () => {
    const table = new ClaimTable();
    const pausedAt = (span: number, epoch: number, now: number): void =>
      void table.add(claim({ span, epoch, state: "paused", pauseMs: 3_600_000 }), 1, now);
    for (let now = 0; now < MAX_PAUSE_MS; now += 2000) pausedAt(3, now + 1, now);
    expect(table.expire(MAX_PAUSE_MS + CLAIM_VOID_MS, 0)).toEqual([3]);
    pausedAt(4, 1e6, 64_000);
    expect(table.expire(64_000 + CLAIM_VOID_MS, 0)).toEqual([4]);
    table.add(claim({ span: 5, epoch: 1e6 + 1, state: "moving", bytesDone: 600_000 }), 1, 70_000);
    pausedAt(5, 1e6 + 2, 71_000);
    expect(table.expire(71_000 + MAX_PAUSE_MS, 0)).toEqual([]);
  });

  it("bars a peer whose claims pause and never move", () => {
    const table = new ClaimTable();
    let now = 0;
    for (let epoch = 1; epoch <= MAX_VOID_CLAIMS; epoch++) {
      table.add(claim({ span: epoch, epoch, state: "paused", pauseMs: MAX_PAUSE_MS }), 1, now);
      now += MAX_PAUSE_MS + CLAIM_VOID_MS;
      table.expire(now, 0);
    }
    expect(table.add(claim({ span: 9, epoch: 99, state: "paused", pauseMs: 1 }), 1, now)).toBe("excess");
  });

  it("drops the claims of a peer that left", () => {
    const table = new ClaimTable();
    table.add(claim(), 1, 0);
    expect(table.drop("aa")).toEqual([3]);
    expect([...table.active()]).toEqual([]);
  });
});

const side = (state: Claim["state"], score: number, claimer: string, rate = 0): Contender => ({
  claim: { state, claimer, rate },
  score,
});

describe("compareClaims", () => {
  it("puts moving bytes before weight, weight before the lower peer id", () => {
    expect(compareClaims(side("moving", 1, "b"), side("open", 9, "a"))).toBeLessThan(0);
    expect(compareClaims(side("open", 9, "b"), side("open", 1, "a"))).toBeLessThan(0);
    expect(compareClaims(side("open", 1, "a"), side("open", 1, "b"))).toBeLessThan(0);
    expect(compareClaims(side("open", 1, "b"), side("paused", 9, "a"))).toBeLessThan(0);
    expect(compareClaims(side("open", 1, "a", 4000), side("moving", 9, "b", 1000))).toBeLessThan(0);
    expect(compareClaims(side("open", 1, "a", 3999), side("moving", 9, "b", 1000))).toBeGreaterThan(0);
  });
});
