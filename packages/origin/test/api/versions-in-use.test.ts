import { type ControlRecord, emptyControl, type Rollout } from "@ckmesh/image";
import { describe, expect, it } from "vitest";
import { versionsInUse } from "../../src/api/versions-in-use.js";

const NOW = 1_800_000_000;

function inUse(control: ControlRecord | undefined, held: readonly number[] = []): readonly number[] {
  return [...versionsInUse({ versions: [1, 2, 3], control, held, now: NOW })];
}

function rolledOut(...rollouts: readonly Partial<Rollout>[]): ControlRecord {
  const free = { version: 3, since: 1, rings: [], approved: 0, isHeld: false };
  return { ...emptyControl("A"), rollouts: rollouts.map((rollout) => Object.assign({}, free, rollout)) };
}

describe("versionsInUse", () => {
  it("is the newest one alone when everybody may have it", () => {
    expect(inUse(undefined)).toEqual([3]);
    expect(inUse(rolledOut({ version: 3, activateAt: NOW - 1 }, { version: 2, isHeld: true }))).toEqual([3]);
    expect(inUse(rolledOut({ version: 3, rings: [{ percent: 1 }], approved: 1 }))).toEqual([3]);
  });

  it.each<[string, Partial<Rollout>]>([
    ["rings that are not approved", { rings: [{ percent: 1 }, { percent: 10 }], approved: 1 }],
    ["a hold", { isHeld: true }],
    ["a time to come", { activateAt: NOW + 1 }],
    ["a fetch that has not begun", { prefetchAt: NOW + 1 }],
  ])("is the one before it, too, with %s", (_what, rollout) => {
    expect(inUse(rolledOut({ version: 3, ...rollout }))).toEqual([3, 2]);
    expect(inUse(rolledOut({ version: 2, ...rollout }, { version: 3, ...rollout }))).toEqual([3, 2, 1]);
  });

  it("is the one before it, too, when the origin holds it by itself", () => {
    expect(inUse(rolledOut({ version: 3 }), [3])).toEqual([3, 2]);
  });

  it("is nothing without versions", () => {
    expect([...versionsInUse({ versions: [], control: undefined, held: [], now: NOW })]).toEqual([]);
  });
});
