import type { Claim } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import { MAX_FETCH_BACKOFF_MS, MAX_PAUSE_MS, SETTLE_MS } from "../src/constants.js";
import type { SwarmEffect, SwarmEvent } from "../src/index.js";
import { peerUp } from "./peer-up.js";
import { indexOf, trustingMachine } from "./trusting-machine.js";

const PEER = "40".repeat(32);
const STRANGER = "20".repeat(32);
const ROW = 65_536;
/** Rows of a span are 32 frames of 64 KiB; row 0 is the index. */
const ROWS = 1 + 4 * 32;

/** One machine whose index is held, with a driver that only writes down what it wants. */
class Solo {
  now = 0;
  readonly effects: SwarmEffect[] = [];
  readonly machine = trustingMachine({ rows: ROWS, have: indexOf(ROWS) });

  constructor() {
    this.step({ type: "frames", lengths: new Uint32Array(ROWS - 1).fill(ROW) });
  }

  step(event: SwarmEvent): void {
    this.effects.push(...this.machine.step(event, this.now));
  }

  /** Lets time pass, with a tick whenever the machine wants one. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let due = this.machine.deadline(); due !== undefined && due <= end; due = this.machine.deadline()) {
      this.now = Math.max(this.now, due);
      this.step({ type: "tick" });
    }
    this.now = end;
    this.step({ type: "tick" });
  }

  meet(): void {
    this.step(peerUp(1, { peerId: PEER }));
    this.step({ type: "message", link: 1, message: { type: "have-none" } });
  }

  hear(claim: Partial<Claim>): void {
    const base: Claim = {
      span: 1,
      rows: { first: 1, count: 32 },
      claimer: PEER,
      epoch: 1,
      bytesDone: 0,
      rate: 0,
      state: "open",
      key: new Uint8Array(32),
      signature: new Uint8Array(64),
    };
    this.step({
      type: "message",
      link: 1,
      message: { type: "claim", claim: { ...base, ...claim }, hops: 1 },
    });
  }

  get fetches(): Extract<SwarmEffect, { type: "fetch" }>[] {
    return this.effects.filter((effect) => effect.type === "fetch");
  }

  get claims(): Claim[] {
    return this.effects.flatMap((effect) =>
      effect.type === "send" && effect.message.type === "claim" ? [effect.message.claim] : [],
    );
  }
}

function settled(): Solo {
  const solo = new Solo();
  solo.meet();
  solo.pass(SETTLE_MS);
  return solo;
}

describe("a client that the origin tells to wait", () => {
  it.each([1000, 30_000, 59_000])("keeps its claim for %i ms, says so, and goes on with it", (retryMs) => {
    const solo = settled();
    solo.pass(1000);
    const [first] = solo.fetches;
    expect(first).toBeDefined();
    solo.step({ type: "fetch-ended", fetch: first?.fetch ?? 0, result: "failed", retryMs });
    expect(solo.claims.at(-1)).toMatchObject({ state: "paused", span: first?.span });
    expect(solo.claims.at(-1)?.pauseMs).toBeGreaterThanOrEqual(retryMs);
    solo.pass(retryMs - 1);
    expect(solo.fetches).toHaveLength(1);
    expect(solo.claims.filter((claim) => claim.state === "released")).toEqual([]);
    solo.pass(1000);
    expect(solo.fetches.map(({ span }) => span)).toEqual([first?.span, first?.span]);
  });

  it("gives its claim up after a minute, when nobody believes it any more, and waits all the same", () => {
    const solo = settled();
    solo.pass(1000);
    solo.step({ type: "fetch-ended", fetch: 1, result: "failed", retryMs: 600_000 });
    expect(solo.claims.at(-1)).toMatchObject({ state: "paused", pauseMs: MAX_PAUSE_MS });
    solo.pass(MAX_PAUSE_MS);
    expect(solo.claims.at(-1)?.state).toBe("released");
    solo.pass(600_000 - MAX_PAUSE_MS - 1);
    expect(solo.fetches).toHaveLength(1);
    solo.pass(2000);
    expect(solo.fetches).toHaveLength(2);
  });

  it("waits longer each time when it is told to come back at once", () => {
    const solo = settled();
    solo.pass(1000);
    for (let round = 0; round < 12; round += 1) {
      const last = solo.fetches.at(-1)?.fetch ?? 0;
      solo.step({ type: "fetch-ended", fetch: last, result: "failed", retryMs: 0 });
      solo.pass(2 * MAX_FETCH_BACKOFF_MS);
    }
    const [from, count] = [solo.now, solo.fetches.length];
    solo.step({ type: "fetch-ended", fetch: solo.fetches.at(-1)?.fetch ?? 0, result: "failed", retryMs: 0 });
    solo.pass(MAX_FETCH_BACKOFF_MS / 2 - 1);
    expect(solo.fetches).toHaveLength(count);
    solo.pass(2 * MAX_FETCH_BACKOFF_MS);
    expect(solo.fetches).toHaveLength(count + 1);
    expect(solo.now).toBeGreaterThan(from);
  });
});

describe("a client whose neighbour was told to wait", () => {
  it("begins no fetch until then, and then one that the neighbour does not claim", () => {
    const solo = settled();
    solo.hear({ state: "paused", pauseMs: 10_000 });
    solo.pass(9999);
    expect(solo.fetches).toEqual([]);
    solo.pass(3000);
    expect(solo.fetches).toHaveLength(1);
    expect(solo.fetches[0]?.span).not.toBe(1);
  });

  it("goes on with what moves already", () => {
    const solo = settled();
    solo.pass(1000);
    const [first] = solo.fetches;
    solo.hear({
      state: "paused",
      pauseMs: 30_000,
      span: first?.span === 1 ? 2 : 1,
      rows: { first: first?.span === 1 ? 33 : 1, count: 32 },
    });
    for (let i = 0; i < 32; i += 1) {
      const runs = [{ first: (first?.rows.first ?? 0) + i, count: 1 }];
      solo.step({ type: "stored", runs, source: "origin", fetch: first?.fetch ?? 0 });
      solo.pass(50);
    }
    solo.step({ type: "fetch-ended", fetch: first?.fetch ?? 0, result: "done" });
    solo.pass(500);
    expect(solo.fetches).toHaveLength(2);
  });

  it("is not held up for longer than the limit, whatever the neighbour says", () => {
    const solo = settled();
    for (let epoch = 1; solo.fetches.length === 0 && epoch < 200; epoch += 1) {
      solo.hear({ state: "paused", pauseMs: 3_600_000, epoch });
      solo.pass(1000);
    }
    expect(solo.now).toBeLessThanOrEqual(SETTLE_MS + MAX_PAUSE_MS + 5000);
  });

  it("does not heed the word of a peer without a link", () => {
    const solo = settled();
    solo.hear({ claimer: STRANGER, state: "paused", pauseMs: 60_000 });
    solo.pass(2000);
    expect(solo.fetches).toHaveLength(1);
  });
});
