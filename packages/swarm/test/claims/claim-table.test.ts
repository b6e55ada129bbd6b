import type { Claim } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import { type Contender, compareClaims } from "../../src/claims/claim-contest.js";
import { ClaimTable } from "../../src/claims/claim-table.js";
import {
  BAR_MS,
  CLAIM_VOID_MS,
  DONE_CLAIM_MS,
  MAX_CLAIMS,
  MAX_OPEN_CLAIMS,
  MAX_PAUSE_MS,
  MAX_STRANGERS,
  MAX_STRANGERS_PER_LINK,
  MAX_VOID_CLAIMS,
  MAX_VOID_MS,
  NEIGHBOUR_DONE_MS,
  STRANGER_DONE_MS,
  UNBACKED_BYTES,
} from "../../src/constants.js";

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
const covered = (table: ClaimTable, row: number): boolean => table.covering(3, row).next().done !== true;

const freed = (table: ClaimTable, now: number): readonly number[] => table.expire(now, 0, () => true).freed;

describe("ClaimTable", () => {
  it("covers the rows of an open claim until it is released", () => {
    const table = new ClaimTable();
    expect(table.add(claim(), 1, 0)).toBe("new");
    expect([29, 30, 39, 40].map((row) => covered(table, row))).toEqual([false, true, true, false]);
    table.add(claim({ epoch: 2, state: "released" }), 1, 2);
    expect(covered(table, 30)).toBe(false);
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
    expect(covered(table, 30)).toBe(false);
  });

  it("voids a claim that stands still, and revives it when it moves again", () => {
    const table = new ClaimTable();
    table.add(claim(), 1, 0);
    expect(freed(table, CLAIM_VOID_MS - 1)).toEqual([]);
    expect(freed(table, CLAIM_VOID_MS)).toEqual([3]);
    expect(covered(table, 30)).toBe(false);
    table.add(claim({ epoch: 2 }), 1, CLAIM_VOID_MS);
    expect(covered(table, 30)).toBe(false);
    table.add(claim({ epoch: 3, state: "moving", bytesDone: 1 }), 1, CLAIM_VOID_MS + 1);
    expect(covered(table, 30)).toBe(true);
  });

  it("gives a claimer time for two rows at the rate that it claims, and ten seconds while that is unknown", () => {
    const table = new ClaimTable();
    table.add(claim({ claimer: "slow", rate: 8192, bytesDone: 1 }), 1, 0);
    table.add(claim({ claimer: "new", rate: 0 }), 1, 0);
    table.add(claim({ claimer: "liar", rate: 1, bytesDone: 1 }), 1, 0);
    const voidAt = (now: number): number => freed(table, now).length;
    expect([voidAt(9999), voidAt(10_000), voidAt(15_999), voidAt(16_000)]).toEqual([0, 1, 0, 1]);
    expect([voidAt(MAX_VOID_MS - 1), voidAt(MAX_VOID_MS)]).toEqual([0, 1]);
  });

  it("counts only the progress that the claimer's haves bear out", () => {
    const table = new ClaimTable();
    const evidence = { borneOutBytes: 100, rowBytes: 65_536, isNeighbour: true, isOwnWord: true };
    const bytesDone = UNBACKED_BYTES + 100;
    table.add(claim({ state: "moving", bytesDone }), 1, 0, evidence);
    table.add(claim({ epoch: 2, state: "moving", bytesDone: 2 * bytesDone }), 1, CLAIM_VOID_MS - 1, evidence);
    expect(freed(table, CLAIM_VOID_MS)).toEqual([3]);
  });

  it("bars a peer whose claims never move", () => {
    const table = new ClaimTable();
    for (let span = 0, now = 0; span < MAX_VOID_CLAIMS; span++, now += CLAIM_VOID_MS) {
      table.add(claim({ span, epoch: span + 1 }), 1, now);
      freed(table, now + CLAIM_VOID_MS);
    }
    expect(table.add(claim({ span: 9, epoch: 99 }), 1, 20_000)).toBe("excess");
    expect(table.add(claim({ span: 9, epoch: 99 }), 1, 20_000 + BAR_MS)).toBe("new");
  });

  it("keeps a finished claim as long as its rows are on offer, and counts it as void when they are not", () => {
    const table = new ClaimTable();
    for (const state of ["moving", "done"] as const)
      table.add(claim({ state, bytesDone: 9, epoch: state === "done" ? 2 : 1 }), 1, 0);
    expect(covered(table, 30)).toBe(true);
    expect(table.expire(NEIGHBOUR_DONE_MS, 0, () => true)).toEqual({ freed: [3], liars: [], vias: [] });
    table.add(claim({ state: "done", bytesDone: 9, epoch: 3 }), 1, 10_000);
    expect(table.expire(10_000 + NEIGHBOUR_DONE_MS, 0, () => false).liars).toEqual(["aa"]);
    expect(covered(table, 30)).toBe(false);
  });

  it("believes a stranger that has finished for 30 seconds once a row of it was seen, else for ten", () => {
    const table = new ClaimTable();
    const stranger = { borneOutBytes: 0, rowBytes: 65_536, isNeighbour: false, isOwnWord: false, via: 7 };
    table.add(claim({ state: "done", bytesDone: 9, claimer: "seen" }), 1, 0, stranger);
    expect(table.expire(STRANGER_DONE_MS, 0, () => true).freed).toEqual([]);
    expect(covered(table, 30)).toBe(true);
    expect(table.expire(DONE_CLAIM_MS, 0, () => true).freed).toEqual([3]);
    table.add(claim({ state: "done", bytesDone: 9, claimer: "unseen" }), 1, 40_000, stranger);
    expect(table.expire(40_000 + STRANGER_DONE_MS, 0, () => false).vias).toEqual([7]);
    expect(covered(table, 30)).toBe(false);
  });

  it("takes a bounded number of strangers from one link, and from all", () => {
    const table = new ClaimTable();
    const news = (via: number): number => {
      let taken = 0;
      for (let i = 0; i < 50; i++) {
        const evidence = { borneOutBytes: 0, rowBytes: 65_536, isNeighbour: false, isOwnWord: false, via };
        taken += Number(table.add(claim({ span: i, claimer: `${via}.${i}` }), 1, 0, evidence) === "new");
      }
      return taken;
    };
    expect(news(1)).toBe(MAX_STRANGERS_PER_LINK);
    expect([2, 3, 4, 5, 6].reduce((sum, via) => sum + news(via), news(7))).toBe(
      MAX_STRANGERS - MAX_STRANGERS_PER_LINK,
    );
  });

  it("takes no message from before the last seconds, whoever replays it", () => {
    const table = new ClaimTable();
    for (let epoch = 1; epoch <= 40; epoch++)
      table.add(claim({ epoch, state: "moving", bytesDone: epoch }), 1, epoch * 1000);
    table.drop("aa");
    expect(table.add(claim({ epoch: 5 }), 1, 41_000)).toBe("replay");
    expect(table.add(claim({ epoch: 39 }), 1, 41_000)).toBe("stale");
    expect(table.add(claim({ epoch: 41 }), 1, 41_000)).toBe("new");
  });

  it("bars a peer that opens claims and gives them up again without a byte", () => {
    const table = new ClaimTable();
    let now = 0;
    for (let epoch = 1; !table.standings.isBarred("aa", now) && epoch < 100; epoch++, now += 1000)
      table.add(
        claim({ epoch, span: (epoch - 1) >> 1, state: epoch % 2 === 0 ? "released" : "open" }),
        1,
        now,
      );
    expect(now).toBeLessThanOrEqual(35_000);
    expect(table.add(claim({ epoch: 200 }), 1, now)).toBe("excess");
  });

  it("believes a rate only of whom haves bear out, and no longer when it took a span and brought nothing", () => {
    const table = new ClaimTable();
    const at = (now: number, borneOutBytes: number, over: Partial<Claim>): number => {
      table.add(claim(over), 1, now, { borneOutBytes, rowBytes: 65_536, isNeighbour: true, isOwnWord: true });
      return table.best(over.span ?? 3)?.rate ?? -1;
    };
    expect(at(0, 0, { epoch: 1, rate: 1e12 })).toBe(0);
    expect(at(10, 500, { epoch: 2, state: "moving", bytesDone: 500, rate: 1e6 })).toBe(1e6);
    at(20, 0, { epoch: 3, span: 4, rate: 1e12 });
    table.displaced(4, "aa");
    at(30, 0, { epoch: 4, span: 4, state: "released" });
    expect(at(40, 900, { epoch: 5, state: "moving", bytesDone: 900, rate: 1e12 })).toBe(0);
  });

  it("lets one peer hold four open claims: a fifth ends the oldest, unless it is older itself", () => {
    const table = new ClaimTable();
    for (let span = 0; span <= MAX_OPEN_CLAIMS; span++)
      expect(table.add(claim({ span, epoch: 10 + span }), 1, 0)).toBe("new");
    expect(table.active().map((known) => known.claim.span)).toEqual([1, 2, 3, 4]);
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
    expect(freed(table, 20_000 + CLAIM_VOID_MS - 1)).toEqual([]);
    expect(covered(table, 30)).toBe(true);
    expect(freed(table, 20_000 + CLAIM_VOID_MS)).toEqual([3]);
  });

  it("believes pauses for a bounded time in all, until bytes moved", () => {
    const table = new ClaimTable();
    const pausedAt = (span: number, epoch: number, now: number): void =>
      void table.add(claim({ span, epoch, state: "paused", pauseMs: 3_600_000 }), 1, now);
    for (let now = 0; now < MAX_PAUSE_MS; now += 2000) pausedAt(3, now + 1, now);
    expect(freed(table, MAX_PAUSE_MS + CLAIM_VOID_MS)).toEqual([3]);
    pausedAt(4, 1e6, 64_000);
    expect(freed(table, 64_000 + CLAIM_VOID_MS)).toEqual([4]);
    for (const bytesDone of [1, 600_000])
      table.add(claim({ span: 5, epoch: 1e6 + bytesDone, state: "moving", bytesDone }), 1, 70_000);
    pausedAt(5, 2e6, 71_000);
    expect(freed(table, 71_000 + MAX_PAUSE_MS)).toEqual([]);
  });

  it("bars a peer whose claims pause and never move", () => {
    const table = new ClaimTable();
    let now = 0;
    for (let epoch = 1; epoch <= MAX_VOID_CLAIMS; epoch++) {
      table.add(claim({ span: epoch, epoch, state: "paused", pauseMs: MAX_PAUSE_MS }), 1, now);
      now += MAX_PAUSE_MS + CLAIM_VOID_MS;
      freed(table, now);
    }
    expect(table.add(claim({ span: 9, epoch: 99, state: "paused", pauseMs: 1 }), 1, now)).toBe("excess");
  });

  it("keeps what others told of a peer whose link ends as soon as it came: it is full, not gone", () => {
    const table = new ClaimTable();
    const told = { borneOutBytes: 0, rowBytes: 65_536, isNeighbour: false, isOwnWord: false, via: 1 };
    table.add(claim(), 1, 0, told);
    expect(table.drop("aa")).toEqual([]);
    expect(covered(table, 30)).toBe(true);
  });

  it("drops the claims of a peer that left", () => {
    const table = new ClaimTable();
    table.add(claim(), 1, 0);
    expect(table.drop("aa")).toEqual([3]);
    expect([...table.active()]).toEqual([]);
  });
});

const side = (state: Claim["state"], score: number, claimer: string, rate = 0): Contender => ({
  claim: { state, claimer },
  score,
  rate,
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
