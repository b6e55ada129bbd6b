import { Bitfield } from "@ckmesh/core";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import {
  DONOR_HOLD_LOOK_MS,
  DONOR_HOLD_MS,
  DONOR_LOOK_MS,
  DONOR_STALL_MS,
  PATIENCE_MS,
} from "../src/constants.js";
import { type DonorEffect, type DonorEvent, DonorMachine } from "../src/donor-machine.js";

const NONE: DonorEffect = { type: "hold", rows: "none", isSure: false };
const NOBODY_YET: DonorEvent = { type: "table", isSettled: false, hasTable: false };
const NOBODY: DonorEvent = { type: "table", isSettled: true, hasTable: false };
const SOMEBODY: DonorEvent = { type: "table", isSettled: true, hasTable: true };

function offered(...rows: number[]): Extract<DonorEvent, { type: "offered" }> {
  const bits = new Bitfield(8);
  for (const row of rows) bits.add(row);
  return { type: "offered", rows: bits };
}
const held = (event: { rows: Bitfield }): DonorEffect => ({ type: "hold", rows: event.rows, isSure: true });

let machine: DonorMachine;

beforeEach(() => {
  machine = new DonorMachine();
  machine.step({ type: "start" }, 0);
});

it("begins with all frames held back, but not in public", () => {
  expect(new DonorMachine().step({ type: "start" }, 0)).toEqual([
    { type: "hold", rows: "all-frames", isSure: false },
  ]);
});

describe("while it looks for somebody with the previous version", () => {
  it("looks at once, and four times a second", () => {
    expect([machine.looksFor, machine.deadline()]).toEqual(["table", 0]);
    machine.step(NOBODY_YET, 0);
    expect(machine.deadline()).toBe(DONOR_HOLD_LOOK_MS);
  });

  it("holds on as long as its swarm has not settled, or somebody has the frame table", () => {
    expect(machine.step(NOBODY_YET, 2000)).toEqual([]);
    expect(machine.step(SOMEBODY, 3000)).toEqual([]);
    expect(machine.looksFor).toBe("table");
  });

  it("lets the WAN go on when its swarm has settled and nobody has the frame table", () => {
    expect(machine.step(NOBODY, 3000)).toEqual([NONE]);
    expect(machine.deadline()).toBeUndefined();
  });

  it("holds for a limited time, which counts from the first word that the target's frame table is known", () => {
    machine.step(SOMEBODY, 60_000);
    machine.step({ type: "target-frames" }, 60_000);
    machine.step({ type: "target-frames" }, 60_100);
    expect(machine.step(SOMEBODY, 60_000 + DONOR_HOLD_MS - 1)).toEqual([]);
    expect(machine.step(SOMEBODY, 60_000 + DONOR_HOLD_MS)).toEqual([NONE]);
  });

  it("takes no offers before it is known what is in common", () => {
    expect(machine.step(offered(1), 100)).toEqual([]);
  });
});

describe("when it is known what is in common", () => {
  beforeEach(() => {
    machine.step({ type: "matched" }, 1000);
  });

  it("looks at once, then every second, and holds what is on offer, in public", () => {
    expect([machine.looksFor, machine.deadline()]).toEqual(["frames", 1000]);
    const some = offered(1, 2);
    expect(machine.step(some, 1000)).toEqual([held(some)]);
    expect(machine.deadline()).toBe(1000 + DONOR_LOOK_MS);
  });

  it("holds nothing when nothing is on offer, and says so once", () => {
    expect(machine.step(offered(), 1000)).toEqual([NONE]);
    expect(machine.step(offered(), 2000)).toEqual([]);
  });

  it("doubts peers that offer and do not bring, for good", () => {
    const some = offered(1);
    expect(machine.step(some, 1000 + DONOR_STALL_MS - 1)).toEqual([held(some)]);
    expect(machine.step(some, 1000 + DONOR_STALL_MS)).toEqual([NONE]);
    machine.step({ type: "came" }, 1100 + DONOR_STALL_MS);
    expect(machine.step(some, 1200 + DONOR_STALL_MS)).toEqual([]);
    expect(machine.deadline()).toBeUndefined();
  });

  it("waits anew with each frame in common that comes", () => {
    machine.step({ type: "came" }, 5000);
    const some = offered(1);
    expect(machine.step(some, 5000 + DONOR_STALL_MS - 1)).toEqual([held(some)]);
    expect(machine.step(some, 5000 + DONOR_STALL_MS)).toEqual([NONE]);
  });

  it("does not count time in which nothing was on offer", () => {
    machine.step(offered(), 20_000);
    const some = offered(1);
    expect(machine.step(some, 20_000 + DONOR_STALL_MS - 1)).toEqual([held(some)]);
  });

  it("gives up before the swarm of the target loses its patience", () => {
    expect(DONOR_STALL_MS).toBeLessThan(PATIENCE_MS);
  });
});

it("takes up what is in common also after it let the WAN go on", () => {
  machine.step(NOBODY, 3000);
  machine.step({ type: "matched" }, 30_000);
  const some = offered(3);
  expect(machine.step(some, 30_000)).toEqual([held(some)]);
});

it("leaves once, gives back what is held, and hears nothing more", () => {
  expect(machine.step({ type: "end" }, 10)).toEqual([{ type: "leave" }, NONE]);
  expect(machine.isEnded).toBe(true);
  expect(machine.step({ type: "end" }, 20)).toEqual([]);
  expect(machine.step({ type: "matched" }, 30)).toEqual([]);
  expect(machine.deadline()).toBeUndefined();
});

const anyEvent = fc.oneof(
  fc.constantFrom<DonorEvent>({ type: "target-frames" }, { type: "came" }, { type: "matched" }),
  fc.constantFrom(NOBODY, NOBODY_YET, SOMEBODY, offered(), offered(1)),
);

it("whatever happens, holds nothing once it has ended", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.integer({ min: 0, max: 20_000 }))), (events) => {
      const any = new DonorMachine();
      const effects = [...any.step({ type: "start" }, 0)];
      let now = 0;
      for (const [event, ms] of [...events, [{ type: "end" }, 0] as const]) {
        now += ms;
        effects.push(...any.step(event, now));
      }
      expect(effects.findLast(({ type }) => type === "hold")).toEqual(NONE);
      expect(effects.filter(({ type }) => type === "leave")).toHaveLength(1);
    }),
  );
});

it("whatever happens, always lets the WAN go on when no frame comes", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(anyEvent, fc.integer({ min: 0, max: 20_000 }))), (events) => {
      const any = new DonorMachine();
      const holds = [...any.step({ type: "start" }, 0)];
      let now = 0;
      for (const [event, ms] of events) {
        now += ms;
        holds.push(...any.step(event, now));
      }
      holds.push(...any.step({ type: "target-frames" }, now));
      const until = now + DONOR_HOLD_MS + DONOR_STALL_MS;
      for (let due = any.deadline(); due !== undefined && due <= until; due = any.deadline()) {
        now = Math.max(now, due);
        holds.push(...any.step(any.looksFor === "frames" ? offered(1) : SOMEBODY, now));
      }
      expect(holds.at(-1)).toEqual(NONE);
      expect(any.deadline()).toBeUndefined();
    }),
  );
});
