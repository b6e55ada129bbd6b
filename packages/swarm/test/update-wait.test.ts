import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { UPDATE_LOOK_MS, UPDATE_WAIT_MS } from "../src/constants.js";
import { UpdateWait, type UpdateWaitEffect, type UpdateWaitEvent } from "../src/update-wait.js";

const HAS_DELTA: UpdateWaitEvent = { type: "answered", hasDelta: true };
const GO_ON: UpdateWaitEffect = { type: "release", isPromised: false };
const GO_ON_PROMISED: UpdateWaitEffect = { type: "release", isPromised: true };

function look(holders: number | undefined, coming?: number, isSettled = true): UpdateWaitEvent {
  const expected = coming === undefined ? undefined : { missing: 10, coming };
  return { type: "look", holders, isSettled, expected };
}

let wait: UpdateWait;
beforeEach(() => {
  wait = new UpdateWait();
});

describe("where nobody holds the previous version", () => {
  it("holds back until enough of the site was seen, asks nothing, and goes on looking", () => {
    expect(wait.step(look(0, undefined, false), 500)).toEqual([]);
    expect(wait.isHolding).toBe(true);
    expect(wait.step(look(0), 1000)).toEqual([GO_ON]);
    expect(wait.step(look(0), 1250)).toEqual([]);
    expect([wait.isHolding, wait.deadline()]).toEqual([false, 1250 + UPDATE_LOOK_MS]);
  });

  it("holds back again for somebody who comes later", () => {
    wait.step(look(0), 1000);
    expect(wait.step(look(1), 9000)).toEqual([{ type: "ask" }]);
    expect(wait.isHolding).toBe(true);
  });

  it("ends with the swarm of the previous version", () => {
    expect(wait.step(look(undefined), 1000)).toEqual([GO_ON]);
    expect([wait.isHolding, wait.deadline()]).toEqual([false, undefined]);
  });
});

describe("when others say that somebody holds the previous version", () => {
  it("asks the origin all the same, tells them too, and waits though nobody is seen to hold it", () => {
    expect(wait.step({ type: "heard" }, 100)).toEqual([{ type: "ask" }]);
    expect(wait.step({ type: "heard" }, 101)).toEqual([]);
    expect(wait.step(HAS_DELTA, 120)).toEqual([{ type: "tell" }]);
    expect(wait.step(look(0), 500)).toEqual([]);
    expect(wait.isHolding).toBe(true);
    expect(wait.step(look(0), 120 + UPDATE_WAIT_MS)).toEqual([GO_ON]);
  });
});

describe("when somebody holds the previous version", () => {
  beforeEach(() => {
    wait.step(look(1), 1000);
  });

  it("asks the origin for a delta once, and holds frames back meanwhile", () => {
    expect(new UpdateWait().step(look(1), 0)).toEqual([{ type: "ask" }]);
    expect(wait.step(look(2), 1250)).toEqual([]);
    expect(wait.isHolding).toBe(true);
  });

  it("goes on at once when there is no delta, for good", () => {
    expect(wait.step({ type: "answered", hasDelta: false }, 1020)).toEqual([GO_ON]);
    expect(wait.step(look(1), 2000)).toEqual([]);
    expect([wait.isHolding, wait.deadline()]).toEqual([false, undefined]);
  });

  it("goes on when the origin does not answer", () => {
    expect(wait.step(look(1), 1000 + UPDATE_WAIT_MS - 1)).toEqual([]);
    expect(wait.step(look(1), 1000 + UPDATE_WAIT_MS)).toEqual([GO_ON]);
  });

  it("tells nobody of a delta that somebody makes use of already", () => {
    expect(wait.step(look(1, 10), 1010)).toEqual([GO_ON_PROMISED]);
    expect(wait.step(HAS_DELTA, 1020)).toEqual([]);
  });

  describe("and there is a delta", () => {
    beforeEach(() => {
      wait.step(HAS_DELTA, 3000);
    });

    it("tells them, once", () => {
      const told = new UpdateWait();
      told.step(look(1), 0);
      expect(told.step(HAS_DELTA, 20)).toEqual([{ type: "tell" }]);
      expect(told.step(HAS_DELTA, 30)).toEqual([]);
    });

    it("waits until half of the frames are promised, and no longer", () => {
      expect(wait.step(look(1, 4), 4000)).toEqual([]);
      expect(wait.step(look(1, 5), 4250)).toEqual([GO_ON_PROMISED]);
    });

    it("cannot say that they are promised before it is known which frames these are", () => {
      expect(wait.step(look(1), 4000)).toEqual([]);
      expect(wait.isHolding).toBe(true);
    });

    it("goes on when the last of them leaves, and waits for no other", () => {
      expect(wait.step(look(0), 4000)).toEqual([GO_ON]);
      expect(wait.step(look(1), 5000)).toEqual([]);
    });

    it("waits for a limited time, which counts from the moment at which they were told", () => {
      expect(wait.step(look(1, 0), 3000 + UPDATE_WAIT_MS - 1)).toEqual([]);
      expect(wait.step(look(1, 0), 3000 + UPDATE_WAIT_MS)).toEqual([GO_ON]);
    });

    it("lets go at the end of the work", () => {
      expect(wait.step({ type: "end" }, 4000)).toEqual([GO_ON]);
    });
  });
});

it("lets go within two limits of the first holder, whatever happens, and begins no second time", () => {
  const events = fc.oneof(
    fc
      .record({ holders: fc.integer({ min: 1, max: 3 }), coming: fc.nat(4) })
      .map(({ holders, coming }): UpdateWaitEvent => look(holders, coming)),
    fc.boolean().map((hasDelta): UpdateWaitEvent => ({ type: "answered", hasDelta })),
    fc.constant<UpdateWaitEvent>({ type: "heard" }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(events, fc.nat(4000)), { maxLength: 60 }), (steps) => {
      const machine = new UpdateWait();
      const effects = [...machine.step(look(1), 0)];
      let now = 0;
      for (const [event, ms] of steps) {
        now += ms;
        // As its driver does: no deadline passes without a look.
        effects.push(...machine.step(look(1, 0), now), ...machine.step(event, now));
        expect(machine.isHolding && now >= 2 * UPDATE_WAIT_MS).toBe(false);
      }
      for (const type of ["ask", "tell", "release"])
        expect(effects.filter((effect) => effect.type === type).length).toBeLessThanOrEqual(1);
    }),
  );
});
