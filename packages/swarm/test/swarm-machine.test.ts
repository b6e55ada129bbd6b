import { Bitfield } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import {
  MAX_EMPTY_TURNS,
  MAX_LINKS,
  PROMISE_STEP_ROWS,
  PROMISE_WORD_INTERVAL_MS,
  SPARE_LINKS,
} from "../src/constants.js";
import type { SwarmEffect, SwarmEvent } from "../src/index.js";
import { peerUp } from "./peer-up.js";
import { indexOf, trustingMachine as machine, SELF } from "./trusting-machine.js";

const peerId = (n: number): string => peerUp(n).peerId;

const up = (link: number, id: string, over: Parameters<typeof peerUp>[1] = {}): SwarmEvent =>
  peerUp(link, { peerId: id, ...over });
const badPiece = (link: number): SwarmEvent => ({
  type: "piece",
  link,
  row: 0,
  good: [],
  bad: [{ first: 0, count: 1 }],
});
const closes = (effects: readonly SwarmEffect[]): string[] =>
  effects.flatMap((e) => (e.type === "close" ? [`${e.link} ${e.reason}`] : []));
const types = (effects: readonly SwarmEffect[]): string[] =>
  effects.map((e) => (e.type === "send" ? e.message.type : e.type));

const promised = (effects: readonly SwarmEffect[]): unknown[] =>
  effects.flatMap((e) =>
    e.type === "send" && e.message.type === "promise" && e.message.hops === 0 ? [e.message.promise.runs] : [],
  );

/** Peer `n` promises `count` frames, from the first on. */
const promise = (n: number, epoch: number, count: number): SwarmEvent => ({
  type: "message",
  link: n,
  message: {
    type: "promise",
    promise: {
      runs: count === 0 ? [] : [{ first: 1, count }],
      promiser: peerId(n),
      epoch,
      key: new Uint8Array(32),
      signature: new Uint8Array(64),
    },
    hops: 0,
  },
});

/** Peer `n` is linked with these. */
const neighbours = (n: number, ids: readonly string[]): SwarmEvent => ({
  type: "message",
  link: n,
  message: { type: "neighbours", ids: ids.map((id) => id.slice(0, 16)) },
});

/** How the link ends of a peer that takes requests and gives five turns without a byte. */
function ends(delivers: boolean): string[] {
  const m = machine({ have: indexOf(5) });
  m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 1);
  m.step(up(1, peerId(1)), 2);
  m.step({ type: "message", link: 1, message: { type: "have-all" } }, 3);
  m.step({ type: "message", link: 1, message: { type: "unchoke" } }, 4);
  if (delivers) m.step({ type: "piece", link: 1, row: 1, good: [{ first: 1, count: 1 }], bad: [] }, 5);
  const effects: SwarmEffect[] = [];
  for (let turn = 0; turn < MAX_EMPTY_TURNS; turn++) {
    effects.push(...m.step({ type: "message", link: 1, message: { type: "choke" } }, 10 + 2 * turn));
    effects.push(...m.step({ type: "message", link: 1, message: { type: "unchoke" } }, 11 + 2 * turn));
  }
  return closes(effects);
}

describe("SwarmMachine", () => {
  it("shuts a peer out that gives five turns without a byte, but not one that sent rows a moment before", () => {
    expect(ends(false)).toEqual(["1 misbehaved"]);
    expect(ends(true)).toEqual([]);
  });

  it("fetches at once when swarming is off, the hashes before anything else", () => {
    const effects = machine({ swarming: false }).step({ type: "tick" }, 0);
    expect(effects).toEqual([]);
    const opened = machine({ swarming: false, gate: false }).step({ type: "origin-gate", open: true }, 1);
    expect(opened).toEqual([{ type: "fetch", fetch: 1, rows: { first: 0, count: 1 }, span: 0 }]);
  });

  it("fetches no piece of the index that was planned before the hashes had come, until that plan ends", () => {
    const sections = [1, 3].map((count) => ({ lengths: new Uint32Array(count).fill(100), wanted: true }));
    const m = machine({ rows: 10, sections, swarming: false, gate: false });
    const local = new Bitfield(10);
    local.addRun({ first: 2, count: 2 });
    m.step({ type: "local-plan", rows: local }, 0);
    const fetches = (event: SwarmEvent): unknown[] =>
      m.step(event, 1).flatMap((e) => (e.type === "fetch" ? [e.rows] : []));
    expect(fetches({ type: "origin-gate", open: true })).toEqual([{ first: 0, count: 1 }]);
    m.step({ type: "stored", runs: [{ first: 0, count: 1 }], source: "origin" }, 1);
    expect(fetches({ type: "fetch-ended", fetch: 1, result: "done" })).toEqual([{ first: 1, count: 1 }]);
    m.step({ type: "stored", runs: [{ first: 1, count: 1 }], source: "origin" }, 1);
    expect(fetches({ type: "fetch-ended", fetch: 2, result: "done" })).toEqual([]);
    m.step({ type: "stored", runs: [{ first: 2, count: 1 }], source: "local" }, 1);
    expect(fetches({ type: "local-done" })).toEqual([{ first: 3, count: 1 }]);
  });

  it("promises a peer the rows that local data will deliver, and what came of it when that ends", () => {
    const m = machine({ have: indexOf(5) });
    const local = new Bitfield(5);
    for (const row of [1, 2, 4]) local.add(row);
    m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9), local }, 1);
    const both = [
      { first: 1, count: 2 },
      { first: 4, count: 1 },
    ];
    expect(promised(m.step(up(1, peerId(1)), 2))).toEqual([both]);
    m.step({ type: "stored", runs: [{ first: 1, count: 1 }], source: "local" }, 3);
    m.step({ type: "local-done" }, 4);
    expect(promised(m.step({ type: "tick" }, 1100))).toEqual([[{ first: 1, count: 1 }]]);
  });

  it("promises what two others do only when one of them no longer does", () => {
    const m = machine({ have: indexOf(5) });
    for (const n of [1, 2, 3]) m.step(up(n, peerId(n)), 1);
    m.step(promise(1, 1, 4), 2);
    m.step(promise(2, 1, 4), 2);
    const local = new Bitfield(5);
    local.addRun({ first: 1, count: 4 });
    expect(promised(m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9), local }, 3))).toEqual([]);
    expect(promised(m.step(promise(2, 2, 2), 4))).toEqual([1, 2, 3].map(() => [{ first: 3, count: 2 }]));
  });

  it("fetches nothing over the WAN that a peer promises, until that peer is gone", () => {
    const m = machine({ have: indexOf(5) });
    m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 1);
    m.step(up(1, peerId(1)), 2);
    m.step({ type: "message", link: 1, message: { type: "have-none" } }, 3);
    m.step(promise(1, 1, 4), 4);
    expect(types(m.step({ type: "tick" }, 5000))).not.toContain("claim");
    expect(types(m.step({ type: "peer-down", link: 1 }, 6000))).toContain("fetch");
  });

  it("keeps the promise of a peer whose link has ended while another one is linked with it", () => {
    const m = machine({ have: indexOf(5) });
    m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 1);
    for (const n of [1, 2]) m.step(up(n, peerId(n)), 2);
    m.step(neighbours(2, [peerId(1)]), 3);
    m.step(promise(1, 1, 4), 4);
    m.step({ type: "peer-down", link: 1 }, 5);
    expect(types(m.step({ type: "tick" }, 5000))).not.toContain("claim");
    expect(types(m.step(neighbours(2, []), 5001))).toContain("claim");
  });

  it("says its promise again every five seconds in which something moved that is not seen in its rows", () => {
    const m = machine({ rows: 41, have: indexOf(41) });
    m.step(up(1, peerId(1)), 0);
    m.step({ type: "frames", lengths: new Uint32Array(40).fill(9), local: Bitfield.full(41) }, 1);
    const at = 1 + PROMISE_WORD_INTERVAL_MS;
    m.step({ type: "beside-came" }, 2000);
    expect(promised(m.step({ type: "tick" }, at - 1))).toEqual([]);
    expect(promised(m.step({ type: "tick" }, at))).toEqual([[{ first: 1, count: 40 }]]);
    expect(promised(m.step({ type: "tick" }, 2 * at))).toEqual([]);
    m.step({ type: "stored", runs: [{ first: 1, count: PROMISE_STEP_ROWS }], source: "local" }, 2 * at);
    expect(promised(m.step({ type: "tick" }, 3 * at))).toEqual([]);
  });

  it("takes a fetch back when a peer promises its rows", () => {
    const m = machine({ have: indexOf(5) });
    m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 1);
    expect(types(m.step({ type: "tick" }, 5000))).toContain("fetch");
    m.step(up(1, peerId(1)), 5001);
    const effects = m.step(promise(1, 1, 4), 5002);
    expect(types(effects)).toContain("abort-fetch");
  });

  it("goes on with a fetch of rows that one peer took back when a newcomer promises all", () => {
    const m = machine({ have: indexOf(5) });
    m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 1);
    for (const n of [1, 2]) m.step(up(n, peerId(n)), 2);
    m.step(promise(1, 1, 4), 3);
    m.step(promise(1, 2, 2), 4);
    expect(types(m.step({ type: "tick" }, 5000))).toContain("claim");
    expect(types(m.step({ type: "tick" }, 6000))).toContain("fetch");
    expect(types(m.step(promise(2, 1, 4), 6001))).not.toContain("abort-fetch");
  });

  it("claims no row that a source beside the swarm may bring, but asks peers for it", () => {
    const m = machine({ have: indexOf(5) });
    m.step({ type: "beside", rows: Bitfield.full(5), isSure: false }, 0);
    m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 1);
    expect(types(m.step({ type: "tick" }, 5000))).toEqual([]);
    m.step(up(1, peerId(1)), 5001);
    m.step({ type: "message", link: 1, message: { type: "have-all" } }, 5002);
    expect(types(m.step({ type: "message", link: 1, message: { type: "unchoke" } }, 5003))).toContain(
      "request",
    );
    m.step({ type: "peer-down", link: 1 }, 5004);
    expect(types(m.step({ type: "beside", rows: new Bitfield(5), isSure: false }, 5005))).toContain("fetch");
  });

  it("wants only the frames it was told to want", () => {
    const have = new Bitfield(5);
    for (const row of [0, 2]) have.add(row);
    const wanted = new Bitfield(5);
    for (const row of [2, 3]) wanted.add(row);
    const m = machine({ have, swarming: false, gate: false });
    m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9), wanted }, 1);
    expect(m.status().missing).toBe(1);
    const effects = m.step({ type: "stored", runs: [{ first: 3, count: 1 }], source: "local" }, 2);
    expect(types(effects)).toContain("complete");
  });

  it("neither claims nor asks for rows that local data will deliver", () => {
    const local = Bitfield.full(5);
    const m = machine({ have: indexOf(5), swarming: false });
    const effects = [
      ...m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9), local }, 1),
      ...m.step({ type: "tick" }, 5000),
    ];
    expect(types(effects)).not.toContain("fetch");
    expect(types(m.step({ type: "local-done" }, 5001))).toContain("fetch");
  });

  it("says complete once when all wanted rows are held", () => {
    const m = machine({ have: Bitfield.full(5) });
    expect(types(m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 1))).toContain("complete");
    expect(types(m.step({ type: "tick" }, 2))).not.toContain("complete");
  });

  it("closes links to itself, to far peers and beyond its limit", () => {
    const m = machine();
    expect(closes(m.step(up(1, SELF), 1))).toEqual(["1 self"]);
    expect(closes(m.step(up(2, peerId(2), { address: "10.9.9.9", rttMs: 30 }), 1))).toEqual(["2 far"]);
    for (let i = 10; i < 10 + MAX_LINKS + SPARE_LINKS; i++)
      expect(closes(m.step(up(i, peerId(i)), 2))).toEqual([]);
    expect(closes(m.step(up(99, peerId(99)), 3))).toEqual(["99 too-many"]);
  });

  it("bans a peer at its second bad row, also when it reconnects in between", () => {
    const m = machine();
    m.step(up(1, peerId(1)), 1);
    expect(closes(m.step(badPiece(1), 2))).toEqual([]);
    m.step({ type: "peer-down", link: 1 }, 3);
    m.step(up(2, peerId(1)), 4);
    expect(closes(m.step(badPiece(2), 5))).toEqual(["2 banned"]);
    expect(closes(m.step(up(3, peerId(1)), 6))).toEqual(["3 banned"]);
  });

  it("takes two ids from one address, and a third only when one of them has gone", () => {
    const m = machine();
    const at = { address: "10.0.0.77" };
    expect(closes(m.step(up(1, peerId(1), at), 1))).toEqual([]);
    expect(closes(m.step(up(2, peerId(2), at), 1))).toEqual([]);
    expect(closes(m.step(up(3, peerId(3), at), 1))).toEqual(["3 too-many"]);
    m.step({ type: "peer-down", link: 1 }, 2);
    expect(closes(m.step(up(4, peerId(3), at), 3))).toEqual([]);
  });

  it("keeps a slow link to a peer of an own subnet", () => {
    expect(closes(machine().step(up(3, peerId(3), { address: "10.0.0.9", rttMs: 30 }), 1))).toEqual([]);
  });

  it("keeps of two links with one peer the one that the lower id dialled, on both sides the same", () => {
    const lower = machine();
    lower.step(up(1, peerId(1), { inbound: false }), 1);
    expect(closes(lower.step(up(2, peerId(1), { inbound: true }), 2))).toEqual(["1 duplicate"]);
    const higher = machine();
    higher.step(up(1, "f".repeat(64), { inbound: false }), 1);
    expect(closes(higher.step(up(2, "f".repeat(64), { inbound: true }), 2))).toEqual(["2 duplicate"]);
  });

  it("refuses a request without a slot, beyond what it holds, or off the borders of rows", () => {
    const have = new Bitfield(5);
    for (const row of [0, 1, 2]) have.add(row);
    const m = machine({ have });
    m.step({ type: "frames", lengths: Uint32Array.of(10, 20, 30, 40) }, 1);
    m.step(up(1, peerId(1)), 1);
    const ask = (row: number, length: number): string[] =>
      types(m.step({ type: "message", link: 1, message: { type: "request", row, length } }, 2));
    expect(ask(1, 10)).toContain("reject");
    m.step({ type: "message", link: 1, message: { type: "interested" } }, 2);
    expect(ask(1, 30)).toContain("upload");
    expect(ask(1, 29)).toContain("reject");
    expect(ask(2, 50)).toContain("reject");
    expect(ask(4, 40)).toContain("reject");
  });

  it("tells a peer of its bad rows and bans it at the second", () => {
    const m = machine();
    m.step(up(1, peerId(1)), 1);
    const bad = [{ first: 0, count: 1 }];
    expect(types(m.step({ type: "piece", link: 1, row: 0, good: [], bad }, 2))).toContain("bad-rows");
    expect(closes(m.step({ type: "piece", link: 1, row: 0, good: [], bad }, 3))).toEqual(["1 banned"]);
    expect(closes(m.step(up(2, peerId(1)), 4))).toEqual(["2 banned"]);
  });

  it("tells peers at most every 250 ms what it gained, as ascending runs", () => {
    const m = machine();
    m.step(up(1, peerId(1)), 1);
    m.step({ type: "stored", runs: [{ first: 0, count: 1 }], source: "local" }, 2);
    m.step({ type: "frames", lengths: Uint32Array.of(9, 9, 9, 9) }, 3);
    m.step({ type: "stored", runs: [{ first: 3, count: 1 }], source: "local" }, 4);
    m.step({ type: "stored", runs: [{ first: 2, count: 1 }], source: "local" }, 5);
    const haves = m
      .step({ type: "tick" }, 260)
      .flatMap((e) => (e.type === "send" && e.message.type === "have" ? [e.message.runs] : []));
    expect(haves).toEqual([
      [
        { first: 0, count: 1 },
        { first: 2, count: 2 },
      ],
    ]);
  });

  it("shuts out a peer that names rows without end", () => {
    const m = machine();
    m.step(up(1, peerId(1)), 1);
    const have = { type: "have", runs: [{ first: 0, count: 5 }] } as const;
    const effects = Array.from({ length: 20 }, (_, i) =>
      m.step({ type: "message", link: 1, message: have }, 2 + i),
    ).flat();
    expect(closes(effects)).toEqual(["1 misbehaved"]);
  });

  it("always names a time to look again while it wants rows, and rarely when nothing happens", () => {
    const m = machine();
    let looks = 0;
    for (let now = 1; now < 100_000; looks++) {
      m.step({ type: "tick" }, now);
      const due = m.deadline();
      expect(due).toBeDefined();
      now = Math.max(now + 1, due ?? 0);
    }
    expect(looks).toBeLessThan(1000);
  });
});
