import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import {
  DELTA_LINGER_MS,
  DELTA_NEED_LOOK_MS,
  DELTA_PLAIN_GAP_MS,
  DELTA_PLAIN_WAIT_MS,
  DELTA_REFUSED_MS,
  DELTA_SEARCH_RETRY_MS,
  DELTA_SEARCH_TRIES,
  DELTA_UNPACKED_LINGER_MS,
  PROMISE_MS,
} from "../src/constants.js";
import { type DeltaEffect, type DeltaEvent, DeltaMachine } from "../src/delta-machine.js";

const ALL: DeltaEffect = { type: "hold", rows: "all-frames" };
const LEFT: readonly DeltaEffect[] = [{ type: "leave" }, { type: "hold", rows: "none" }];
/** A look at the target's swarm: frames are missing, and nobody else is there. */
const SHORT = { type: "need", isSettled: true, isShort: true, hasPeers: false, isFetched: false } as const;
const FAILED: DeltaEvent = { type: "searched", result: "failed" };
const FOUND: DeltaEvent = { type: "searched", result: "found" };

let machine: DeltaMachine;

beforeEach(() => {
  machine = new DeltaMachine(true);
  machine.step({ type: "start" }, 0);
});

it("promises all frames until it is known what is missing, and looks for nothing before", () => {
  expect(new DeltaMachine(true).step({ type: "start" }, 0)).toEqual([ALL]);
  expect(machine.deadline()).toBeUndefined();
  expect(machine.step(SHORT, 10)).toEqual([]);
});

describe("when it is known what is missing", () => {
  beforeEach(() => {
    machine.step({ type: "planned" }, 1000);
  });

  it("looks at once, and four times a second, whether peers have all of it", () => {
    expect([machine.looksForNeed, machine.deadline()]).toEqual([true, 1000]);
    machine.step({ ...SHORT, isShort: false }, 1000);
    expect(machine.deadline()).toBe(1000 + DELTA_NEED_LOOK_MS);
  });

  it("looks for no delta while peers may still show, or have all of it", () => {
    expect(machine.step({ ...SHORT, isSettled: false }, 1000)).toEqual([]);
    expect(machine.step({ ...SHORT, isShort: false }, 60_000)).toEqual([]);
  });

  it("looks for a delta once", () => {
    expect(machine.step(SHORT, 1000)).toEqual([{ type: "search" }]);
    expect(machine.step(SHORT, 1001)).toEqual([]);
    expect(machine.deadline()).toBeUndefined();
  });

  it("lets the WAN go on when there is none", () => {
    machine.step(SHORT, 1000);
    expect(machine.step({ type: "searched", result: "none" }, 1100)).toEqual(LEFT);
    expect(machine.isEnded).toBe(true);
  });

  it("asks again a few times when nobody could say, then lets the WAN go on", () => {
    let now = 1000;
    for (let i = 1; i < DELTA_SEARCH_TRIES; i++) {
      expect(machine.step(SHORT, now)).toEqual([{ type: "search" }]);
      expect(machine.step(FAILED, now)).toEqual([]);
      now += DELTA_SEARCH_RETRY_MS;
      expect(machine.deadline()).toBe(now);
    }
    machine.step(SHORT, now);
    expect(machine.step(FAILED, now)).toEqual(LEFT);
  });
});

describe("with a delta", () => {
  beforeEach(() => {
    machine.step({ type: "planned" }, 1000);
    machine.step(SHORT, 1000);
    machine.step(FOUND, 1000);
  });

  it("promises what it yields as soon as that is known", () => {
    expect(machine.step({ type: "fits" }, 2000)).toEqual([{ type: "hold", rows: "yielded" }]);
    expect(machine.deadline()).toBeUndefined();
  });

  it("gives it up when the origin refuses it for a while", () => {
    machine.step({ type: "refused" }, 3000);
    machine.step({ type: "refused" }, 3500);
    expect(machine.deadline()).toBe(3000 + DELTA_REFUSED_MS);
    expect(machine.step({ type: "tick" }, 3000 + DELTA_REFUSED_MS - 1)).toEqual([]);
    expect(machine.step({ type: "tick" }, 3000 + DELTA_REFUSED_MS)).toEqual(LEFT);
  });

  it("keeps it as long as rows of it come from anywhere", () => {
    machine.step({ type: "refused" }, 3000);
    machine.step({ type: "came" }, 4000);
    expect(machine.step({ type: "tick" }, 60_000)).toEqual([]);
  });

  it("stays a moment when all is here, so that others hear of it; without frames of the delta not even that", () => {
    expect(machine.step({ type: "fits" }, 2000)).not.toEqual([]);
    expect(machine.step({ type: "done", isPacked: true }, 3000)).toEqual([]);
    expect(machine.deadline()).toBe(3000 + DELTA_LINGER_MS);
    expect(machine.step({ type: "tick" }, 3000 + DELTA_LINGER_MS)).toEqual(LEFT);
    const other = new DeltaMachine(true);
    other.step({ type: "start" }, 0);
    expect(other.step({ type: "done", isPacked: true }, 10)).toEqual(LEFT);
  });

  it("gives it up before the site stops to believe its promise", () => {
    expect(DELTA_REFUSED_MS).toBeLessThan(PROMISE_MS);
  });
});

describe("who cannot pack what a delta yields", () => {
  const PEERS = { ...SHORT, hasPeers: true } as const;
  const PATIENT: DeltaEffect = { type: "be-patient" };
  const SEARCH: readonly DeltaEffect[] = [PATIENT, { type: "search" }];

  beforeEach(() => {
    machine = new DeltaMachine(false);
    machine.step({ type: "start" }, 0);
    machine.step({ type: "planned" }, 1000);
  });

  it("looks for it at once when it is alone", () => {
    expect(machine.step(SHORT, 1000)).toEqual(SEARCH);
  });

  it("waits half a minute for peers to fetch plain frames", () => {
    expect(machine.step(PEERS, 1000)).toEqual([PATIENT]);
    expect(machine.step(PEERS, 999 + DELTA_PLAIN_WAIT_MS)).toEqual([PATIENT]);
    expect(machine.step(PEERS, 1000 + DELTA_PLAIN_WAIT_MS)).toEqual(SEARCH);
  });

  it("waits while they do, and no longer says that the swarm is to be patient with them", () => {
    machine.step(PEERS, 1000);
    expect(machine.step({ ...PEERS, isFetched: true }, 60_000)).toEqual([]);
    expect(machine.step(PEERS, 59_999 + DELTA_PLAIN_GAP_MS)).toEqual([PATIENT]);
    expect(machine.step(PEERS, 60_000 + DELTA_PLAIN_GAP_MS)).toEqual(SEARCH);
  });

  it("keeps the delta for others like it for longer than a poll, until its pack is complete", () => {
    machine.step(SHORT, 1000);
    machine.step(FOUND, 1100);
    machine.step({ type: "fits" }, 1200);
    machine.step({ type: "done", isPacked: false }, 2000);
    expect(machine.deadline()).toBe(2000 + DELTA_UNPACKED_LINGER_MS);
    machine.step({ type: "done", isPacked: true }, 3000);
    expect(machine.deadline()).toBe(3000 + DELTA_LINGER_MS);
  });
});

const anyEvent = fc.constantFrom<DeltaEvent>(
  { type: "planned" },
  { type: "fits" },
  { type: "came" },
  { type: "refused" },
  { type: "tick" },
  { type: "done", isPacked: true },
  { type: "done", isPacked: false },
  SHORT,
  { ...SHORT, hasPeers: true, isFetched: true },
  { ...SHORT, isShort: false },
  FOUND,
  FAILED,
  { type: "searched", result: "none" },
);

it("whatever happens, holds nothing once it has ended, and leaves once", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyEvent, fc.integer({ min: 0, max: 20_000 }))),
      fc.boolean(),
      (events, able) => {
        const any = new DeltaMachine(able);
        const effects = [...any.step({ type: "start" }, 0)];
        let now = 0;
        for (const [event, ms] of [...events, [{ type: "end" }, 0] as const]) {
          now += ms;
          effects.push(...any.step(event, now));
        }
        expect(effects.slice(-2)).toEqual(LEFT);
        expect(effects.filter(({ type }) => type === "leave")).toHaveLength(1);
        expect(any.deadline()).toBeUndefined();
      },
    ),
  );
});
