import { describe, expect, it } from "vitest";
import { ClaimTable } from "../../src/claims/claim-table.js";
import type { KnownClaim } from "../../src/claims/known-claim.js";
import { MAX_MOVING_CLAIMS, MOVER_LINGER_MS, SITE_RATE_MS, WIRE_OVERHEAD } from "../../src/constants.js";
import { type WanLimit, WanPacer } from "../../src/index.js";
import { WanLane } from "../../src/wan/wan-lane.js";
import type { PacedSwarm } from "../../src/wan/wan-pacer.js";

const BUDGET = 2_100_000;
const CAP: WanLimit = { type: "rate", bytesPerSec: BUDGET };
/** What is left of it for the bytes of files. */
const USABLE = BUDGET / WIRE_OVERHEAD;
const NOW = 1_000_000;

function claimOf(claimer: string, state: "open" | "moving", rate: number, span = 1): KnownClaim {
  const table = new ClaimTable();
  const rows = { first: 0, count: 1 };
  const signed = { key: new Uint8Array(), signature: new Uint8Array() };
  table.add({ span, rows, claimer, epoch: 1, bytesDone: 0, rate, state, ...signed }, 1, NOW);
  const [known] = table.active();
  if (known === undefined) throw new Error("the claim was not taken");
  return known;
}

/** As a notice names a machine. */
const noticeId = (n: number): string => n.toString(16).padStart(32, "0");

/** A swarm whose claims a test sets. */
class FakeSwarm implements PacedSwarm {
  readonly id: string;
  others: KnownClaim[] = [];
  rate = 0;
  isOpen = true;
  readonly claims = (): readonly KnownClaim[] => this.others;
  readonly ownRate = (): number => this.rate;
  readonly isClaiming = (): boolean => this.isOpen;

  constructor(id: string) {
    this.id = id;
  }
}

/** How many may move with a budget when two machines are there, the second one measured or not. */
function moving(bytesPerSec: number, isMeasured: boolean): number {
  const pacer = new WanPacer({ type: "rate", bytesPerSec });
  const swarm = new FakeSwarm("a");
  pacer.join(swarm);
  swarm.rate = 1000;
  swarm.others = [claimOf("b", "moving", isMeasured ? 1000 : 0)];
  return pacer.maxMoving(NOW);
}

describe("WanPacer", () => {
  it("limits nothing and waits for nothing without a limit", () => {
    const swarm = new FakeSwarm("a");
    const lane = new WanLane(new WanPacer({ type: "none" }), swarm);
    swarm.others = [claimOf("b", "moving", 1e6)];
    expect(lane.isLimited).toBe(false);
    lane.begin(1e9, NOW);
    expect(lane.readyAt(NOW)).toBe(NOW);
    expect(lane.runBytes(NOW)).toBe(Number.MAX_SAFE_INTEGER);
  });

  it("divides the budget among all versions that this client fetches, and the others who move", () => {
    const pacer = new WanPacer(CAP);
    const [one, two] = [new FakeSwarm("one"), new FakeSwarm("two")];
    pacer.join(one);
    pacer.join(two);
    expect(pacer.rateOf(one, NOW)).toBeCloseTo(USABLE / 2);
    two.others = [claimOf("b", "moving", 0), claimOf("c", "moving", 0)];
    expect(pacer.rateOf(one, NOW) + pacer.rateOf(two, NOW)).toBeCloseTo(USABLE / 2);
    two.others = [];
    two.isOpen = false;
    pacer.leave(two);
    expect(pacer.rateOf(one, NOW)).toBeCloseTo(USABLE);
  });

  it("leaves a part to machines of the LAN that fetch another image, once, while they say so", () => {
    const pacer = new WanPacer(CAP);
    const swarm = new FakeSwarm("a");
    pacer.join(swarm);
    swarm.others = [claimOf("b0".repeat(32), "moving", 0)];
    pacer.neighbour("b0".repeat(16), 0, "10.0.0.2", NOW);
    expect(pacer.rateOf(swarm, NOW)).toBeCloseTo(USABLE / 2);
    pacer.neighbour("c0".repeat(16), 0, "10.0.0.3", NOW);
    expect(pacer.rateOf(swarm, NOW)).toBeCloseTo(USABLE / 3);
    expect(pacer.rateOf(swarm, NOW + 4000)).toBeCloseTo(USABLE / 2);
  });

  it("is held by 65 machines together that follow as many images", () => {
    const sum = Array.from({ length: 65 }, (_, own) => {
      const pacer = new WanPacer(CAP);
      const swarm = new FakeSwarm("a");
      pacer.join(swarm);
      for (let i = 0; i < 65; i++) if (i !== own) pacer.neighbour(noticeId(i), 0, `10.0.0.${i}`, NOW);
      return pacer.rateOf(swarm, NOW);
    }).reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(USABLE);
  });

  it("is left its part however many neighbours somebody invents, at one address or at many", () => {
    const [one, many] = [new WanPacer(CAP), new WanPacer(CAP)];
    const swarm = new FakeSwarm("a");
    for (const pacer of [one, many]) pacer.join(swarm);
    for (let i = 0; i < 1000; i++) {
      one.neighbour(noticeId(i), 0, "10.0.0.2", NOW);
      many.neighbour(noticeId(i), 0, `10.0.${i >> 8}.${i & 255}`, NOW);
    }
    one.neighbour("c0".repeat(16), 0, "10.0.0.3", NOW);
    expect(one.rateOf(swarm, NOW)).toBeCloseTo(USABLE / 18);
    expect(many.rateOf(swarm, NOW)).toBeCloseTo(USABLE / 65);
  });

  it("keeps the share of a mover whose claim has just ended, but not for long", () => {
    const pacer = new WanPacer(CAP);
    const swarm = new FakeSwarm("a");
    pacer.join(swarm);
    swarm.others = [claimOf("b", "moving", 0)];
    expect(pacer.rateOf(swarm, NOW)).toBeCloseTo(USABLE / 2);
    swarm.others = [];
    expect(pacer.rateOf(swarm, NOW + MOVER_LINGER_MS - 1)).toBeCloseTo(USABLE / 2);
    expect(pacer.rateOf(swarm, NOW + MOVER_LINGER_MS)).toBeCloseTo(USABLE);
  });

  it("keeps shares for no more who mean to move than there is room for", () => {
    const pacer = new WanPacer(CAP);
    const swarm = new FakeSwarm("a");
    pacer.join(swarm);
    swarm.others = Array.from({ length: 10 }, (_, n) => claimOf(`b${n}`, "open", 0, n));
    expect(pacer.rateOf(swarm, NOW)).toBeCloseTo(USABLE / MAX_MOVING_CLAIMS);
  });

  it("lets a client take what its share earns, whatever the size of its requests", () => {
    for (const bytes of [1000, 65_536, 3_000_000]) {
      const lane = new WanLane(new WanPacer(CAP), new FakeSwarm("a"));
      let taken = 0;
      let now = NOW;
      lane.readyAt(now);
      while (now < NOW + 60_000) {
        lane.begin(bytes, now);
        taken += bytes;
        now = Math.max(now, lane.readyAt(now));
      }
      expect((taken - bytes) / (USABLE * 60)).toBeGreaterThan(0.95);
      expect((taken - bytes) / (USABLE * 60)).toBeLessThan(1.01);
    }
  });

  it("lets few move where the budget is small, but two for as long as fewer than two are measured", () => {
    expect([moving(10_000, true), moving(10_000, false)]).toEqual([1, 2]);
    expect([moving(300_000, true), moving(10_000_000, true)]).toEqual([2, MAX_MOVING_CLAIMS]);
  });

  it("measures what the whole site gets, and asks an origin that ignores ranges for whole spans", () => {
    const pacer = new WanPacer({ type: "yield" });
    const swarm = new FakeSwarm("a");
    pacer.join(swarm);
    for (let second = 0; second <= SITE_RATE_MS / 1000; second++) {
      const now = NOW + second * 1000;
      pacer.received(100, now);
      const { claim } = claimOf("b", "moving", 300);
      pacer.heard(swarm, { ...claim, bytesDone: second * 300 }, now);
      // Relayed once more, or old: no new bytes.
      pacer.heard(swarm, { ...claim, bytesDone: 0 }, now);
    }
    // 400 a second; what a claim says comes a little later.
    expect(pacer.best).toBeGreaterThan(330);
    expect(pacer.best).toBeLessThanOrEqual(400);
    expect(pacer.runBytes(swarm, NOW + 6000)).toBeLessThan(1e6);
    pacer.ignoresRanges();
    expect(pacer.runBytes(swarm, NOW + 6000)).toBe(Infinity);
  });
});
