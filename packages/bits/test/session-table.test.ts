import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import {
  type BitsReply,
  formatSessionId,
  HRESULT,
  type OpenSession,
  SessionTable,
  type SessionTableLimits,
} from "../src/index.js";
import { ENDED_MEMORY_MS, MAX_ENDED, SURPLUS_FACTOR } from "../src/session-table.js";
import { faultOf } from "./thrown.js";

const DAY_MS = 86_400_000;
const LIMITS: SessionTableLimits = { timeoutMs: 14 * DAY_MS, perUser: 50, total: 1000 };
const ALICE = { user: "MEDV\\alice", url: "/MEDVImages/w7.ckm" };
const ACK: BitsReply = { type: "ack" };
const UNKNOWN = { status: 500, hresult: HRESULT.sessionNotFound, code: "ERR_BITS_SESSION_NOT_FOUND" };

/** The n-th id. */
function id(n: number): string {
  return formatSessionId(new Uint8Array([n >> 8, n & 0xff, ...new Uint8Array(14)]));
}

function session(n: number, clock: VirtualClock, owner = ALICE): OpenSession {
  return { sessionId: id(n), ...owner, createdAt: clock.wall(), progressedAt: clock.wall() };
}

function tableWith(clock: VirtualClock, count: number, limits = LIMITS): SessionTable {
  const table = new SessionTable(() => limits);
  for (let n = 0; n < count; n += 1) {
    table.add(session(n, clock));
    clock.advance(1);
  }
  return table;
}

/** One session that was closed just now. */
function closed(): { table: SessionTable; clock: VirtualClock } {
  const clock = new VirtualClock();
  const table = tableWith(clock, 1);
  table.end(id(0), ACK, clock.wall());
  return { table, clock };
}

describe("a session is found", () => {
  it("by its user and URL, in any spelling of its id", () => {
    const clock = new VirtualClock();
    const table = tableWith(clock, 1);
    for (const sessionId of [id(0), id(0).toLowerCase(), id(0).slice(1, -1)]) {
      const standing = table.find({ type: "fragment", sessionId }, ALICE, clock.wall());
      expect(standing).toMatchObject({ state: "open", session: { sessionId: id(0) } });
    }
  });

  it.each([
    ["another id", id(7), ALICE],
    ["no GUID", "../w7.ckm", ALICE],
    ["another user", id(0), { ...ALICE, user: "MEDV\\bob" }],
    ["another URL", id(0), { ...ALICE, url: "/MEDVImages/w8.ckm" }],
  ])("not with %s: 500 and 0x8020001F", (_, sessionId, owner) => {
    const clock = new VirtualClock();
    const table = tableWith(clock, 1);
    expect(faultOf(() => table.find({ type: "fragment", sessionId }, owner, clock.wall()))).toMatchObject(
      UNKNOWN,
    );
  });

  it.each(["fragment", "close", "cancel"] as const)(
    "not by %s after it was removed: 500 and 0x8020001F",
    (type) => {
      const clock = new VirtualClock();
      const table = tableWith(clock, 1);
      table.remove(id(0));
      expect(faultOf(() => table.find({ type, sessionId: id(0) }, ALICE, clock.wall()))).toMatchObject(
        UNKNOWN,
      );
      expect(table.size).toBe(0);
    },
  );

  it("not twice under one id", () => {
    const clock = new VirtualClock();
    expect(() => tableWith(clock, 1).add(session(0, clock))).toThrow(/^unreachable/);
  });
});

describe("the time-out", () => {
  it("ends a session after 14 days without a message, and not a moment before", () => {
    const clock = new VirtualClock();
    const table = new SessionTable(() => LIMITS);
    table.add(session(0, clock));
    clock.advance(14 * DAY_MS - 1);
    expect(table.due(clock.wall())).toEqual([]);
    expect(table.find({ type: "close", sessionId: id(0) }, ALICE, clock.wall()).state).toBe("open");
    clock.advance(1);
    expect(table.due(clock.wall())).toMatchObject([{ session: { sessionId: id(0) }, why: "expired" }]);
    expect(table.isExpired({ sessionId: id(0) }, clock.wall())).toBe(true);
    expect(faultOf(() => table.find({ type: "close", sessionId: id(0) }, ALICE, clock.wall()))).toMatchObject(
      UNKNOWN,
    );
  });

  it("begins anew with every message that was processed", () => {
    const clock = new VirtualClock();
    const table = new SessionTable(() => LIMITS);
    table.add(session(0, clock));
    for (let day = 0; day < 60; day += 1) {
      clock.advance(DAY_MS);
      table.progressed(id(0).toLowerCase(), clock.wall());
    }
    expect(table.due(clock.wall())).toEqual([]);
    clock.advance(14 * DAY_MS);
    expect(table.due(clock.wall())).toHaveLength(1);
  });

  it("counts from the last message before a restart", () => {
    const clock = new VirtualClock();
    const table = new SessionTable(() => LIMITS);
    table.add({ ...session(0, clock), progressedAt: clock.wall() - 14 * DAY_MS });
    expect(table.due(clock.wall())).toHaveLength(1);
  });

  it("is that of the configuration of the moment", () => {
    const clock = new VirtualClock();
    let limits = LIMITS;
    const table = new SessionTable(() => limits);
    table.add(session(0, clock));
    clock.advance(60_000);
    limits = { ...LIMITS, timeoutMs: 60_000 };
    expect(table.due(clock.wall())).toHaveLength(1);
  });

  it("that comes first is known, so that one timer does", () => {
    const clock = new VirtualClock();
    const table = tableWith(clock, 3);
    const first = clock.wall() - 3 + LIMITS.timeoutMs;
    expect(table.nextExpiry()).toBe(first);
    table.progressed(id(0), clock.wall());
    expect(table.nextExpiry()).toBe(first + 1);
    for (const n of [0, 1, 2]) table.remove(id(n));
    expect(table.nextExpiry()).toBeUndefined();
  });

  it("of a session that is gone never comes", () => {
    const clock = new VirtualClock();
    const table = tableWith(clock, 1);
    table.remove(id(0));
    clock.advance(15 * DAY_MS);
    expect(table.isExpired({ sessionId: id(0) }, clock.wall())).toBe(false);
  });
});

describe("the limit per user", () => {
  it("lets the cleanup drop the newest above 50, whichever order they were found in", () => {
    const clock = new VirtualClock();
    const sessions: OpenSession[] = [];
    for (let n = 0; n < 53; n += 1) {
      sessions.push(session(n, clock));
      clock.advance(1);
    }
    const table = new SessionTable(() => LIMITS);
    for (const one of sessions.toReversed()) table.add(one);
    expect(table.due(clock.wall()).map((due) => [due.session.sessionId, due.why])).toEqual([
      [id(50), "surplus"],
      [id(51), "surplus"],
      [id(52), "surplus"],
    ]);
  });

  it("drops nothing at 50, and counts each user alone", () => {
    const clock = new VirtualClock();
    const table = tableWith(clock, 50);
    table.add(session(50, clock, { ...ALICE, user: "MEDV\\bob" }));
    expect(table.due(clock.wall())).toEqual([]);
  });

  it("does not count those that expired", () => {
    const clock = new VirtualClock();
    const table = tableWith(clock, 50);
    clock.advance(14 * DAY_MS);
    table.add(session(50, clock));
    expect(table.due(clock.wall()).filter((due) => due.why === "surplus")).toEqual([]);
  });

  it("is a bound too: at twice the limit Create-Session is answered 503 until one ends", () => {
    const clock = new VirtualClock();
    const limits = { ...LIMITS, perUser: 2 };
    const table = tableWith(clock, 2 * SURPLUS_FACTOR - 1, limits);
    table.admit(ALICE.user);
    table.add(session(9, clock));
    expect(faultOf(() => table.admit(ALICE.user))).toMatchObject({ status: 503, retryAfterSeconds: 60 });
    table.admit("MEDV\\bob");
    table.remove(id(9));
    table.admit(ALICE.user);
  });

  it("can be switched off", () => {
    const clock = new VirtualClock();
    const table = tableWith(clock, 200, { ...LIMITS, perUser: undefined });
    expect(table.due(clock.wall())).toEqual([]);
    table.admit(ALICE.user);
  });
});

describe("the limit of all sessions", () => {
  it("answers Create-Session 503 when it is reached", () => {
    const clock = new VirtualClock();
    const limits = { ...LIMITS, perUser: undefined, total: 3 };
    const table = tableWith(clock, 2, limits);
    table.admit("MEDV\\bob");
    table.add(session(2, clock));
    expect(faultOf(() => table.admit("MEDV\\bob"))).toMatchObject({ status: 503, code: "ERR_ORIGIN_BUSY" });
  });
});

describe("a session that was closed", () => {
  it("answers a repeated Close of its owner as the first for 10 minutes, then not at all", () => {
    const { table, clock } = closed();
    const close = { type: "close", sessionId: id(0).toLowerCase() } as const;
    clock.advance(ENDED_MEMORY_MS - 1);
    expect(table.find(close, ALICE, clock.wall())).toEqual({ state: "ended", reply: ACK });
    clock.advance(1);
    expect(faultOf(() => table.find(close, ALICE, clock.wall()))).toMatchObject(UNKNOWN);
  });

  it.each(["fragment", "cancel"] as const)("is unknown to a %s", (type) => {
    const { table, clock } = closed();
    expect(faultOf(() => table.find({ type, sessionId: id(0) }, ALICE, clock.wall()))).toMatchObject(UNKNOWN);
  });

  it("is unknown to another user", () => {
    const { table, clock } = closed();
    const bob = { ...ALICE, user: "MEDV\\bob" };
    expect(faultOf(() => table.find({ type: "close", sessionId: id(0) }, bob, clock.wall()))).toMatchObject(
      UNKNOWN,
    );
  });

  it("no longer counts, nor expires", () => {
    const { table, clock } = closed();
    expect(table.size).toBe(0);
    clock.advance(15 * DAY_MS);
    expect(table.due(clock.wall())).toEqual([]);
  });

  it("is remembered for one process after another", () => {
    const clock = new VirtualClock();
    const table = new SessionTable(() => LIMITS);
    table.remember(id(0), ALICE, ACK, clock.wall());
    const close = { type: "close", sessionId: id(0) } as const;
    expect(table.find(close, ALICE, clock.wall()).state).toBe("ended");
  });

  it("is forgotten when 1000 others ended after it", () => {
    const clock = new VirtualClock();
    const table = new SessionTable(() => LIMITS);
    for (let n = 0; n <= MAX_ENDED; n += 1) table.remember(id(n), ALICE, ACK, clock.wall());
    const isKnown = (n: number): string =>
      table.find({ type: "close", sessionId: id(n) }, ALICE, clock.wall()).state;
    expect(faultOf(() => isKnown(0))).toMatchObject(UNKNOWN);
    expect([isKnown(1), isKnown(MAX_ENDED)]).toEqual(["ended", "ended"]);
  });
});
