import { isAppError } from "@ckmesh/core";
import { type ControlRecord, decodeControl, emptyControl, encodeControl, type Rollout } from "@ckmesh/image";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyOrder, type ControlOrder } from "../src/control-edit.js";

const NOW = 1_800_000_000;
const NONE = emptyControl("Win11");

function after(...orders: readonly ControlOrder[]): ControlRecord {
  return orders.reduce<ControlRecord>((record, order) => applyOrder(record, order, NOW), NONE);
}

function rollout(record: ControlRecord, version: number): Rollout | undefined {
  return record.rollouts.find((each) => each.version === version);
}

describe("an order", () => {
  it("makes the next record: a higher serial, and the clock's time", () => {
    const first = after({ type: "hold", version: 3 });
    expect([first.serial, first.createdAt]).toEqual([NOW, NOW]);
    const second = applyOrder(first, { type: "release", version: 3 }, NOW - 500);
    expect([second.serial, second.createdAt]).toEqual([NOW + 1, NOW - 500]);
  });

  it("withdraws and restores a version, in the order of versions", () => {
    const record = after(
      { type: "withdraw", version: 5, reason: "no network", backTo: 4 },
      { type: "withdraw", version: 2 },
      { type: "withdraw", version: 5, backTo: 1 },
    );
    expect(record.withdrawn).toEqual([{ version: 2 }, { version: 5, backTo: 1 }]);
    expect(applyOrder(record, { type: "restore", version: 2 }, NOW).withdrawn).toEqual([
      { version: 5, backTo: 1 },
    ]);
  });

  it("that undoes what was not done is refused", () => {
    expect(() => after({ type: "restore", version: 2 })).toThrow(/not withdrawn/);
    expect(() => after({ type: "approve", version: 2, isAll: false })).toThrow(/everybody already/);
  });

  it("opens one ring after the other, then everybody", () => {
    const rings = [{ percent: 1 }, { percent: 10 }, { groups: ["oslo"] }];
    let record = after({ type: "ring", version: 4, rings });
    const seen = [rollout(record, 4)?.approved];
    for (let i = 0; i < 3; i += 1) {
      record = applyOrder(record, { type: "approve", version: 4, isAll: false }, NOW);
      seen.push(rollout(record, 4)?.approved);
    }
    expect(seen).toEqual([0, 1, 2, 3]);
    expect(() => applyOrder(record, { type: "approve", version: 4, isAll: false }, NOW)).toThrow(/everybody/);
  });

  it("for all rings at once approves every one, and new rings begin anew with their own limit", () => {
    const failureLimit = { percent: 5, minReports: 10 };
    const all = after(
      { type: "ring", version: 4, rings: [{ percent: 1 }, { percent: 10 }], failureLimit },
      { type: "approve", version: 4, isAll: true },
    );
    expect(rollout(all, 4)).toMatchObject({ approved: 2, failureLimit });
    const anew = applyOrder(all, { type: "ring", version: 4, rings: [{ percent: 50 }] }, NOW);
    expect(rollout(anew, 4)).toEqual({
      version: 4,
      since: anew.serial,
      rings: [{ percent: 50 }],
      approved: 0,
      isHeld: false,
    });
  });

  it("sets and clears the time of activation, and keeps the rings", () => {
    const record = after(
      { type: "ring", version: 4, rings: [{ percent: 1 }] },
      { type: "activate", version: 4, activateAt: NOW + 100, prefetchAt: NOW + 50 },
    );
    expect(rollout(record, 4)).toMatchObject({
      rings: [{ percent: 1 }],
      activateAt: NOW + 100,
      prefetchAt: NOW + 50,
    });
    const now = rollout(applyOrder(record, { type: "activate", version: 4 }, NOW), 4);
    expect([now?.activateAt, now?.prefetchAt, now?.rings]).toEqual([undefined, undefined, [{ percent: 1 }]]);
  });

  it("marks only its own version as decided anew", () => {
    const record = after({ type: "hold", version: 3 }, { type: "hold", version: 4 });
    const next = applyOrder(record, { type: "release", version: 4 }, NOW + 1000);
    expect(next.rollouts.map(({ version, since }) => [version, since])).toEqual([
      [3, NOW],
      [4, NOW + 1000],
    ]);
  });

  it("drops entries of older versions that hold nobody back any more", () => {
    const record = after(
      { type: "ring", version: 1, rings: [{ percent: 1 }] },
      { type: "approve", version: 1, isAll: true },
      { type: "hold", version: 2 },
      { type: "activate", version: 3, activateAt: NOW + 10 },
      { type: "release", version: 5 },
      { type: "hold", version: 4 },
    );
    expect(record.rollouts.map(({ version }) => version)).toEqual([2, 3, 4, 5]);
  });
});

const version = fc.integer({ min: 1, max: 6 });
const order: fc.Arbitrary<ControlOrder> = fc.oneof(
  fc.record({ type: fc.constant("withdraw" as const), version }),
  fc.record({ type: fc.constant("restore" as const), version }),
  fc.record({
    type: fc.constant("ring" as const),
    version,
    rings: fc.array(fc.record({ percent: fc.integer({ min: 0, max: 100 }) }), { maxLength: 4 }),
  }),
  fc.record({ type: fc.constant("approve" as const), version, isAll: fc.boolean() }),
  fc.record({
    type: fc.constant("activate" as const),
    version,
    activateAt: fc.integer({ min: 0, max: 2 * NOW }),
  }),
  fc.record({ type: fc.constant("hold" as const), version }),
  fc.record({ type: fc.constant("release" as const), version }),
);

/** Undefined where the order makes no sense. */
function applyIfPossible(record: ControlRecord, each: ControlOrder): ControlRecord | undefined {
  try {
    return applyOrder(record, each, NOW);
  } catch (err) {
    if (isAppError(err, "ERR_USAGE")) return undefined;
    throw err;
  }
}

describe("any row of orders", () => {
  it("gives records that the format takes, with rising serials", () => {
    fc.assert(
      fc.property(fc.array(order, { maxLength: 30 }), (orders) => {
        let record: ControlRecord = NONE;
        for (const each of orders) {
          const next = applyIfPossible(record, each);
          if (next === undefined) continue;
          expect(next.serial).toBeGreaterThan(record.serial);
          expect(decodeControl(encodeControl(next, [])).record).toEqual(next);
          record = next;
        }
      }),
    );
  });
});
