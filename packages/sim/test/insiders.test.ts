import { Bitfield } from "@ckmesh/core";
import type { Claim, PeerMessage } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import { BAD_PIECE, type NodeOptions, type SimNode, type SimSite, simImage } from "../src/index.js";
import { fetched, finished, MIB, site, starts } from "./scenario.js";

const HOUR = 3_600_000;

/** A claim in the insider's own name, or in a name that it made up; signed with the key that goes with it. */
function claimOf(insider: SimNode, over: Partial<Claim> = {}): Claim {
  const claimer = over.claimer ?? insider.peerId;
  const key = Buffer.from(claimer, "hex");
  const base = { span: 2, rows: { first: 2, count: 32 }, epoch: 1, bytesDone: 0, rate: 0 };
  return { ...base, state: "open", claimer, key, signature: key, ...over };
}
/** Rows of a frame span: rows of 64 KiB, 32 in a span, after the index. */
function rowsOf(where: SimSite, span: number): { first: number; count: number } {
  const first = where.image.pieces + 32 * (span - 2);
  return { first, count: Math.min(32, where.image.lengths.length - first) };
}
function spansOf(where: SimSite): number {
  return 2 + Math.ceil((where.image.lengths.length - where.image.pieces) / 32);
}

/** What an insider does every 100 ms beside what its decisions do; `round` counts. */
type Mischief = (where: SimSite, insider: SimNode, round: number) => void;

interface Outcome {
  readonly isDone: boolean;
  readonly copies: number;
  /** By everybody; and by somebody. */
  readonly isShutOut: boolean;
  readonly isNoticed: boolean;
  readonly minutes: number;
  readonly tables: number;
}

/** Insiders among honest machines; runs until those are complete, and on until they shut all insiders out. */
function play(
  count: number,
  honestCount: number,
  options: NodeOptions,
  mischief: Mischief | undefined,
  mib = 32,
): Outcome {
  const where = site(mib);
  const insiders = starts(where, count, options);
  const honest = starts(where, honestCount);
  let round = 0;
  const act = (): void => {
    for (const insider of insiders) mischief?.(where, insider, round);
    round += 1;
    where.clock.after(100, act);
  };
  where.clock.after(500, act);
  const seen = { isShutOut: false, isNoticed: false, tables: 0 };
  const look = (): void => {
    const now = (insider: SimNode): boolean => honest.every((n) => n.hasShutOut(insider));
    seen.isShutOut ||= insiders.every(now);
    seen.isNoticed ||= insiders.every((insider) => honest.some((n) => n.hasShutOut(insider)));
    seen.tables = Math.max(seen.tables, ...honest.flatMap((n) => Object.values(n.tables())));
    where.clock.after(500, look);
  };
  look();
  const isDone = finished(honest, where, HOUR);
  const minutes = where.clock.now() / 60_000;
  for (let i = 0; i < 600 && !seen.isShutOut; i++) where.clock.advance(100);
  return { isDone, copies: fetched(honest), minutes, ...seen };
}

const bends: Record<string, NonNullable<NodeOptions["bend"]>> = {
  "sends bad rows": (m) => (m.type === "piece" ? { ...m, bytes: BAD_PIECE } : m),
  "offers everything and serves nothing": (m) => {
    if (m.type === "have-none" || m.type === "bitfield") return { type: "have-all" };
    return m.type === "piece" || m.type === "reject" ? undefined : m;
  },
  "offers everything and refuses": (m) => {
    if (m.type === "have-none" || m.type === "bitfield") return { type: "have-all" };
    return m.type === "piece" ? undefined : m;
  },
  "forges claims of others": (m) =>
    m.type === "claim" ? { ...m, claim: { ...m.claim, claimer: "ab".repeat(32), epoch: 1e12 } } : m,
};

const silent = (m: PeerMessage): PeerMessage | undefined => (m.type === "claim" ? undefined : m);
const last = { epoch: 2_000_000_000 };
const epoch = (): number => (last.epoch += 1);
const say = (insider: SimNode, claim: Claim, hops = 0): void => insider.say({ type: "claim", claim, hops });

/** What goes beyond the insider's own decisions; its own claims are silenced. */
const mischiefs: Record<string, Mischief> = {
  "claims everything and moves nothing": (where, insider, round) => {
    const span = 2 + (round % (spansOf(where) - 2));
    say(insider, claimOf(insider, { span, rows: rowsOf(where, span), epoch: epoch() }));
  },
  "says that its claims move": (where, insider, round) => {
    const span = 2 + (Math.floor(round / 20) % (spansOf(where) - 2));
    const claim = {
      span,
      rows: rowsOf(where, span),
      epoch: epoch(),
      bytesDone: 1e5 * (round % 20),
      rate: 1e6,
    };
    say(insider, claimOf(insider, { ...claim, state: "moving" }));
  },
  "claims to be a million times faster": (where, insider, round) => {
    const span = 2 + (Math.floor(round / 3) % (spansOf(where) - 2));
    const state = round % 3 === 2 ? "released" : "moving";
    say(insider, claimOf(insider, { span, rows: rowsOf(where, span), epoch: epoch(), rate: 1e12, state }));
  },
  "says that it has finished everything": (where, insider, round) => {
    if (round % 10 !== 0) return;
    for (let span = 2; span < spansOf(where); span++) {
      const claim = { span, rows: rowsOf(where, span), epoch: epoch(), bytesDone: 2 ** 21 };
      say(insider, claimOf(insider, { ...claim, state: "done" }));
    }
  },
  "opens claims and gives them up again for ever": (where, insider, round) => {
    const span = 2 + (Math.floor(round / 10) % (spansOf(where) - 2));
    const state = round % 10 === 9 ? "released" : "open";
    say(insider, claimOf(insider, { span, rows: rowsOf(where, span), epoch: epoch(), state }));
  },
  "sends a flood of claims": (where, insider, round) => {
    for (let i = 0; i < 100; i++) {
      const span = 2 + ((round + i) % (spansOf(where) - 2));
      say(insider, claimOf(insider, { span, rows: rowsOf(where, span), epoch: epoch() }));
    }
  },
  "claims rows outside of the grid": (_where, insider) => {
    say(insider, claimOf(insider, { span: 3, rows: { first: 0, count: 400 }, epoch: epoch() }));
  },
};

/** Claims of others that it heard and passed on: what it can replay. */
function replayer(): { options: NodeOptions; mischief: Mischief } {
  const heard: Claim[] = [];
  const bend = (m: PeerMessage): PeerMessage => {
    if (m.type === "claim" && m.hops > 0) heard.push(m.claim);
    return m;
  };
  const mischief: Mischief = (_where, insider, round) => {
    const claim = heard[round % 40];
    if (round > 250 && claim !== undefined) say(insider, claim, 1);
  };
  return { options: { bend }, mischief };
}

let made = 0;
/** Tells of a new peer every time, which it says is connected to it. */
const strangers: Mischief = (where, insider, round) => {
  made += 1;
  const span = 2 + (round % (spansOf(where) - 2));
  const claim = { span, rows: rowsOf(where, span), state: "moving", bytesDone: 1e6, rate: 1e6 } as const;
  say(insider, claimOf(insider, { ...claim, claimer: made.toString(16).padStart(64, "e") }), 1);
};

describe("one insider of six machines is shut out, and the site takes at most 1.5 copies, when it", () => {
  it.each(Object.keys(bends))("%s", (what) => {
    const bend = bends[what];
    // Who sends bad rows holds everything, so that it is asked.
    const have = Bitfield.full(simImage(256 * MIB).lengths.length);
    const options = { ...(bend !== undefined && { bend }), ...(what === "sends bad rows" && { have }) };
    const outcome = play(1, 5, options, undefined, 256);
    expect(outcome.isDone).toBe(true);
    expect(outcome.copies).toBeLessThanOrEqual(1.5);
    // Whoever never asks it for rows, or is told of them by others, has nothing against it.
    expect(outcome.isNoticed).toBe(true);
  });

  it.each(Object.keys(mischiefs))("%s", (what) => {
    const outcome = play(1, 5, { bend: silent, wanCap: 1 }, mischiefs[what]);
    expect(outcome.isDone).toBe(true);
    expect(outcome.copies).toBeLessThanOrEqual(1.5);
    expect(outcome.isShutOut).toBe(true);
    expect(outcome.minutes).toBeLessThan(1.5);
    expect(outcome.tables).toBeLessThanOrEqual(200);
  });

  it("replays old claims", () => {
    const { options, mischief } = replayer();
    const outcome = play(1, 5, options, mischief, 256);
    expect(outcome.isDone).toBe(true);
    expect(outcome.copies).toBeLessThanOrEqual(1.05);
    expect(outcome.isShutOut).toBe(true);
    expect(outcome.minutes).toBeLessThan(0.9);
  });

  it("tells of a new peer with claims ten times a second", () => {
    const outcome = play(1, 5, { bend: silent, wanCap: 1 }, strangers);
    expect(outcome.isDone).toBe(true);
    expect(outcome.copies).toBeLessThanOrEqual(1.5);
    expect(outcome.isShutOut).toBe(true);
    expect(outcome.minutes).toBeLessThan(1);
    expect(outcome.tables).toBeLessThanOrEqual(200);
  });

  it("connects 1,000 times to everybody, each time with another id", () => {
    const where = site(32);
    const honest = starts(where, 6);
    where.clock.advance(1000);
    const before = honest.map((n) => n.tables().links);
    for (const [i, node] of honest.entries()) {
      for (let id = 0; id < 1000; id++) {
        const peerId = (id + 1000 * i + 1).toString(16).padStart(64, "d");
        const at = {
          address: "10.0.9.9",
          port: 7650,
          inbound: true,
          peerClass: "wired",
          rttMs: 0.6,
        } as const;
        node.step({ type: "peer-up", link: 1e6 + 1000 * i + id, peerId, ...at });
      }
    }
    expect(honest.map((n) => n.tables().links)).toEqual(before.map((links) => links + 2));
    expect(finished(honest, where, HOUR)).toBe(true);
    expect(fetched(honest)).toBeLessThanOrEqual(1.05);
    expect(Math.max(...honest.flatMap((n) => Object.values(n.tables())))).toBeLessThanOrEqual(200);
  });
});

describe("three insiders of ten who do the same", () => {
  it.each(Object.keys(mischiefs))("%s", (what) => {
    const outcome = play(3, 7, { bend: silent, wanCap: 1 }, mischiefs[what]);
    expect(outcome.isDone).toBe(true);
    expect(outcome.copies).toBeLessThanOrEqual(1.5);
    expect(outcome.isShutOut).toBe(true);
    expect(outcome.minutes).toBeLessThan(2);
    expect(outcome.tables).toBeLessThanOrEqual(300);
  });
});

it("five colluders of ten who do everything at once hold nobody up for long", () => {
  const all = [...Object.values(mischiefs), strangers];
  const mischief: Mischief = (where, insider, round) =>
    all[(insider.index + round) % all.length]?.(where, insider, round);
  const outcome = play(5, 5, { bend: silent, wanCap: 1 }, mischief);
  expect(outcome.isDone).toBe(true);
  expect(outcome.copies).toBeLessThanOrEqual(1.5);
  expect(outcome.isShutOut).toBe(true);
  expect(outcome.minutes).toBeLessThan(2);
});
