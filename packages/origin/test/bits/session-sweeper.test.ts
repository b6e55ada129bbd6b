import type { DueSession } from "@ckmesh/bits";
import { silentLogger } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { SessionSweeper } from "../../src/bits/session-sweeper.js";
import { eventually } from "../origin-fixture.js";

const HOUR = 3_600_000;

/** A sweeper of sessions that are due as the test says; `busy` ones cannot end. */
function sweeperOf(due: (wall: number) => readonly Pick<DueSession, "why">[], nextExpiry?: number) {
  const clock = new VirtualClock();
  const start = clock.wall();
  const dropped: string[] = [];
  const state = { isBusy: false };
  const sweeper = new SessionSweeper({
    clock,
    cleanupMs: () => 12 * HOUR,
    table: {
      due: (wall) =>
        due(wall - start).map(({ why }) => ({
          why,
          session: { sessionId: why, user: "alice", url: "x", createdAt: 0, progressedAt: 0 },
        })),
      // One session expires; when it is gone, none.
      nextExpiry: () => (nextExpiry === undefined || dropped.length > 0 ? undefined : start + nextExpiry),
    },
    drop: async (id) => {
      if (state.isBusy) return false;
      dropped.push(`${id} at ${clock.now() / HOUR} h`);
      return true;
    },
    logger: silentLogger,
  });
  return { clock, sweeper, dropped, state };
}

describe("the sweeper of sessions", () => {
  it("ends surplus sessions with the clean-up only, expired ones when they expire", async () => {
    const due = (ms: number) => [{ why: ms < 2 * HOUR ? "expired" : "surplus" }, { why: "surplus" }] as const;
    const { clock, sweeper, dropped } = sweeperOf(due, HOUR);
    sweeper.plan();
    clock.advance(HOUR);
    await eventually(() => dropped.length > 0);
    expect(dropped).toEqual(["expired at 1 h"]);
    clock.advance(11 * HOUR);
    await eventually(() => dropped.length > 1);
    expect(dropped).toEqual(["expired at 1 h", "surplus at 12 h", "surplus at 12 h"]);
    sweeper.stop();
  });

  it("comes again in a minute for a session whose packet runs", async () => {
    const { clock, sweeper, dropped, state } = sweeperOf(() => [{ why: "surplus" }]);
    state.isBusy = true;
    sweeper.plan();
    clock.advance(12 * HOUR);
    state.isBusy = false;
    await eventually(() => {
      clock.advance(1000);
      return dropped.length > 0;
    });
    expect(clock.now()).toBeLessThan(12 * HOUR + 120_000);
    sweeper.stop();
  });

  it("does nothing once it was stopped", () => {
    const { clock, sweeper, dropped } = sweeperOf(() => [{ why: "expired" }], HOUR);
    sweeper.plan();
    sweeper.stop();
    sweeper.plan();
    clock.advance(100 * HOUR);
    expect(dropped).toEqual([]);
  });
});
