import { type Random, seededRandom } from "@ckmesh/core";
import { type ControlRecord, clearanceOf, emptyControl, type Rollout } from "@ckmesh/image";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { OutcomeTally } from "../../src/control/outcome-tally.js";

const POLL_MS = 900_000;
/** Long enough for every machine to have polled four times. */
const WHILE_MS = 4 * POLL_MS;
const CLIENTS = 1000;
const ROLLOUT: Rollout = {
  version: 2,
  since: 1,
  rings: [{ percent: 5 }, { percent: 25 }],
  approved: 0,
  isHeld: false,
  failureLimit: { percent: 10, minReports: 20 },
};

interface Machine {
  readonly id: string;
  active: number;
  failures: number;
}

/** A fleet that polls every 15 minutes and does what the record says; the origin counts and holds. */
class Fleet {
  readonly clock = new VirtualClock(0);
  readonly machines: Machine[] = [];
  readonly #random: Random;
  readonly #failureShare: number;
  #record: ControlRecord = { ...emptyControl("Win11"), serial: 1, rollouts: [ROLLOUT] };
  #tally = new OutcomeTally();
  #held: readonly number[] = [];

  /** @param failureShare of the machines on which version 2 does not work */
  constructor(failureShare: number) {
    this.#random = seededRandom(1);
    this.#failureShare = failureShare;
    for (let i = 0; i < CLIENTS; i += 1) {
      const machine = { id: i.toString(16).padStart(64, "0"), active: 1, failures: 0 };
      this.machines.push(machine);
      this.#pollAfter(machine, this.#random.next() * POLL_MS);
    }
  }

  get isHeld(): boolean {
    return this.#held.length > 0;
  }

  count(isSo: (machine: Machine) => boolean): number {
    return this.machines.filter(isSo).length;
  }

  decide(change: Partial<Rollout>): void {
    const serial = this.#record.serial + 1;
    this.#record = { ...this.#record, serial, rollouts: [{ ...ROLLOUT, ...change, since: serial }] };
    this.#tally = new OutcomeTally();
    this.#held = [];
  }

  #pollAfter(machine: Machine, ms: number): void {
    this.clock.after(ms, () => {
      this.#poll(machine);
      this.#pollAfter(machine, POLL_MS);
    });
  }

  #poll(machine: Machine): void {
    const request = { record: this.#record, held: this.#held, version: 2, now: this.clock.wall() / 1000 };
    const follower = { id: machine.id, groups: [] };
    if (machine.active === 2 || clearanceOf({ ...request, follower }).type !== "free") return;
    if (this.#random.next() < this.#failureShare) machine.failures += 1;
    else machine.active = 2;
    this.#tally.add(machine.id, { outcome: machine.active === 2 ? "active" : "failed" }, true);
    const [rollout] = this.#record.rollouts;
    if (rollout?.failureLimit !== undefined && this.#tally.exceeds(rollout.failureLimit)) this.#held = [2];
  }
}

describe("a rollout in rings", () => {
  it("of a good version reaches one ring after the other, all of each within one interval, and no more", () => {
    const fleet = new Fleet(0.02);
    fleet.clock.advance(WHILE_MS);
    const first = fleet.count(({ active }) => active === 2);
    expect(first / CLIENTS).toBeGreaterThan(0.035);
    expect(first / CLIENTS).toBeLessThan(0.065);
    fleet.decide({ approved: 1 });
    fleet.clock.advance(WHILE_MS);
    const second = fleet.count(({ active }) => active === 2);
    expect(second / CLIENTS).toBeGreaterThan(0.22);
    expect(second / CLIENTS).toBeLessThan(0.28);
    fleet.decide({ approved: 2 });
    fleet.clock.advance(2 * POLL_MS);
    expect(fleet.count(({ active }) => active === 2)).toBeGreaterThan(CLIENTS * 0.99);
    expect(fleet.isHeld).toBe(false);
  });

  it("of a bad version stops by itself within the ring, soon after the first reports", () => {
    const fleet = new Fleet(0.5);
    fleet.clock.advance(WHILE_MS);
    expect(fleet.isHeld).toBe(true);
    const touched = fleet.count(({ active, failures }) => active === 2 || failures > 0);
    expect(touched).toBeGreaterThanOrEqual(20);
    expect(touched).toBeLessThan(30);
    // Nothing moves until somebody decides.
    fleet.clock.advance(WHILE_MS);
    expect(fleet.count(({ active, failures }) => active === 2 || failures > 0)).toBe(touched);
    fleet.decide({});
    fleet.clock.advance(POLL_MS);
    expect(fleet.isHeld).toBe(true);
  });

  it("without a limit lets a bad version through its ring, but not beyond", () => {
    const fleet = new Fleet(0.5);
    const { failureLimit: _, ...unlimited } = ROLLOUT;
    fleet.decide({ ...unlimited, failureLimit: { percent: 100, minReports: 1 } });
    fleet.clock.advance(WHILE_MS);
    const touched = fleet.count(({ active, failures }) => active === 2 || failures > 0);
    expect(touched / CLIENTS).toBeLessThan(0.065);
    expect(fleet.isHeld).toBe(false);
  });

  it("with an activation time changes the whole fleet within one interval after it, and nobody before", () => {
    const fleet = new Fleet(0);
    fleet.decide({ rings: [], activateAt: WHILE_MS / 1000 });
    fleet.clock.advance(WHILE_MS - 1);
    expect(fleet.count(({ active }) => active === 2)).toBe(0);
    fleet.clock.advance(POLL_MS + 1);
    expect(fleet.count(({ active }) => active === 2)).toBe(CLIENTS);
  });
});
