import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Clearance,
  type ControlRecord,
  clearanceOf,
  emptyControl,
  type Follower,
  lowestAllowed,
  type Rollout,
  ringPosition,
} from "../../src/index.js";

const CLIENTS: readonly Follower[] = Array.from({ length: 2000 }, (_, i) => ({
  id: i.toString(16).padStart(64, "0"),
  groups: i % 100 === 0 ? ["pilot"] : [],
}));
const OPEN = { version: 5, since: 1, rings: [], approved: 0, isHeld: false } satisfies Rollout;
const [SOMEBODY] = CLIENTS;

function recordOf(change: Partial<ControlRecord>): ControlRecord {
  return { ...emptyControl("Win11"), serial: 1, ...change };
}

function ask(rollout: Rollout, follower: Follower, now = 1000, held: readonly number[] = []): Clearance {
  return clearanceOf({ record: recordOf({ rollouts: [rollout] }), held, follower, version: 5, now });
}

function admitted(rollout: Rollout): readonly Follower[] {
  return CLIENTS.filter((follower) => ask(rollout, follower).type === "free");
}

function isFirst(follower: Follower, version: number): boolean {
  return ringPosition(follower.id, "Win11", version) < 10;
}

function withdrawn(...list: ControlRecord["withdrawn"]): ControlRecord {
  return recordOf({ withdrawn: list });
}

describe("clearanceOf", () => {
  const rings = [{ percent: 5, groups: ["pilot"] }, { percent: 25 }];

  it("lets everybody have a version of which the record says nothing", () => {
    const request = { record: recordOf({}), held: [], version: 5, now: 0 };
    expect(clearanceOf({ ...request, follower: { id: "", groups: [] } })).toEqual({ type: "free" });
  });

  it("opens ring after ring, each with those of the ring before, and then to all", () => {
    const first = admitted({ ...OPEN, rings });
    const second = admitted({ ...OPEN, rings, approved: 1 });
    expect(first.length / CLIENTS.length).toBeGreaterThan(0.045);
    expect(first.length / CLIENTS.length).toBeLessThan(0.08);
    expect(second.length / CLIENTS.length).toBeGreaterThan(0.22);
    expect(second.length / CLIENTS.length).toBeLessThan(0.29);
    expect(first.every((follower) => second.includes(follower))).toBe(true);
    expect(CLIENTS.filter(({ groups }) => groups.length > 0).every((c) => first.includes(c))).toBe(true);
    expect(admitted({ ...OPEN, rings, approved: 2 })).toHaveLength(CLIENTS.length);
  });

  it("takes everybody for 100 percent and nobody for 0", () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1 }), (id, version) => {
        const position = ringPosition(id, "Win11", version);
        expect(position).toBeGreaterThanOrEqual(0);
        expect(position).toBeLessThan(100);
      }),
    );
    expect(admitted({ ...OPEN, rings: [{ percent: 0 }] })).toHaveLength(0);
  });

  it("begins with other clients for the next version", () => {
    const both = CLIENTS.filter((c) => isFirst(c, 5) && isFirst(c, 6));
    // By chance one in a hundred.
    expect(both.length / CLIENTS.length).toBeLessThan(0.02);
  });

  it("is the same for the same client, and a fixed one: clients of other versions of ckmesh agree", () => {
    // SHA-256 of "ckmesh-ring-1\nab\nWin11\n5", its first 6 bytes / 2^48 * 100, computed with Python.
    expect(ringPosition("ab", "Win11", 5)).toBeCloseTo(RING_VECTOR, 9);
  });

  it("waits until the prefetch time, fetches until the activation time, then is free", () => {
    const timed = { ...OPEN, prefetchAt: 100, activateAt: 200 };
    const at = (now: number): Clearance => ask(timed, SOMEBODY ?? { id: "", groups: [] }, now);
    expect(at(99)).toEqual({ type: "wait", reason: "early", until: 100 });
    expect(at(100)).toEqual({ type: "prefetch", activateAt: 200 });
    expect(at(199.9)).toEqual({ type: "prefetch", activateAt: 200 });
    expect(at(200)).toEqual({ type: "free" });
  });

  it("a hold of the origin or of the record stops those of the open rings, too", () => {
    const follower = { id: "", groups: ["pilot"] };
    expect(ask({ ...OPEN, rings }, follower, 0, [5])).toEqual({ type: "wait", reason: "held" });
    expect(ask({ ...OPEN, isHeld: true }, follower)).toEqual({ type: "wait", reason: "held" });
    expect(ask({ ...OPEN, rings }, follower, 0, [4])).toEqual({ type: "free" });
  });

  it("a withdrawal stands above everything else, with its reason", () => {
    const record = recordOf({
      rollouts: [{ ...OPEN, activateAt: 9e9 }],
      withdrawn: [{ version: 5, reason: "does not boot" }],
    });
    const follower = { id: "", groups: [] };
    expect(clearanceOf({ record, held: [5], follower, version: 5, now: 0 })).toEqual({
      type: "withdrawn",
      reason: "does not boot",
    });
  });
});

describe("lowestAllowed", () => {
  it("is the highest version verified, as long as it is good", () => {
    expect(lowestAllowed(recordOf({}), 7, [6, 7])).toBe(7);
    expect(lowestAllowed(withdrawn({ version: 6 }), 7, [6, 7])).toBe(7);
    expect(lowestAllowed(recordOf({}), undefined, [])).toBe(0);
  });

  it("falls to the next good one that lies here", () => {
    expect(lowestAllowed(withdrawn({ version: 7 }), 7, [4, 6, 7])).toBe(6);
    expect(lowestAllowed(withdrawn({ version: 6 }, { version: 7 }), 7, [4, 6, 7])).toBe(4);
    expect(lowestAllowed(withdrawn({ version: 7 }), 7, [7])).toBe(0);
  });

  it("falls to where the publisher says, and further if that was withdrawn, too", () => {
    expect(lowestAllowed(withdrawn({ version: 7, backTo: 5 }), 7, [6, 7])).toBe(5);
    expect(lowestAllowed(withdrawn({ version: 5, backTo: 2 }, { version: 7, backTo: 5 }), 7, [7])).toBe(2);
  });

  it("ends for every record", () => {
    const list = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 0, maxLength: 40 });
    fc.assert(
      fc.property(list, list, fc.integer({ min: 1, max: 40 }), (bad, verified, highest) => {
        const record = withdrawn(...bad.toSorted((a, b) => a - b).map((version) => ({ version })));
        const lowest = lowestAllowed(record, highest, verified);
        expect(lowest).toBeLessThanOrEqual(highest);
        expect(bad).not.toContain(lowest);
      }),
    );
  });
});

const RING_VECTOR = 30.11046143617051;
