import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  accessDenied,
  type BitsReply,
  diskFull,
  HRESULT,
  interruptibleAt,
  openSession,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
  stepSession,
  uploadVanished,
} from "../src/index.js";
import { STALLED_FRAGMENT_MS } from "../src/session-machine.js";

const LIMITS = { maxUploadBytes: 1000, maxFragmentBytes: 100 };

function run(
  state: SessionState,
  ...events: readonly SessionEvent[]
): { state: SessionState; effects: SessionEffect[] } {
  const effects: SessionEffect[] = [];
  let now = state;
  for (const event of events) {
    const step = stepSession(now, event, LIMITS);
    now = step.state;
    effects.push(...step.effects);
  }
  return { state: now, effects };
}

function fragment(first: number, last: number, total = 200): SessionEvent {
  return { type: "fragment", fragment: { first, last, total }, now: 0 };
}

function wrote(bytes: number): SessionEvent {
  return { type: "wrote", bytes, now: 0 };
}

/** What the driver reports for a fragment that arrives whole and an intake that adds nothing. */
function storedTo(received: number, bytes: number): readonly SessionEvent[] {
  return [wrote(bytes), { type: "stored" }, { type: "filled", received }];
}

/** The answer to `event`, which moves nothing. */
function refusalTo(state: SessionState, event: SessionEvent): BitsReply | undefined {
  const step = stepSession(state, event, LIMITS);
  expect(step.state).toEqual(state);
  expect(step.effects).toHaveLength(1);
  return step.effects[0]?.type === "reply" ? step.effects[0].reply : undefined;
}

const half = openSession(100, 200);
const complete = openSession(200, 200);

/** A fragment as a client may send it, how much of it arrives, and what the intake adds. */
const ATTEMPT = fc.record({
  first: fc.nat(199),
  length: fc.integer({ min: 1, max: 120 }),
  arrives: fc.oneof(fc.constant(1), fc.double({ min: 0, max: 1, noNaN: true })),
  fills: fc.nat(40),
});

/** A driver in small: byte n of the file is n. Returns the next byte wanted by the answer, if there is one. */
function play(
  state: SessionState,
  file: number[],
  attempt: {
    readonly first: number;
    readonly length: number;
    readonly arrives: number;
    readonly fills: number;
  },
): { readonly state: SessionState; readonly answered: number | undefined } {
  const { first } = attempt;
  const begun = run(state, fragment(first, Math.min(first + attempt.length, 200) - 1));
  const store = begun.effects.find((effect) => effect.type === "store");
  if (store === undefined) return { state: begun.state, answered: offsetOf(begun.effects) };
  const bytes = Math.floor(store.bytes * attempt.arrives);
  file.length = store.offset;
  for (let at = 0; at < bytes; at += 1) file.push(first + store.skip + at);
  if (bytes < store.bytes) {
    return { state: run(begun.state, wrote(bytes), { type: "interrupted" }).state, answered: undefined };
  }
  const received = Math.min(200, file.length + attempt.fills);
  while (file.length < received) file.push(file.length);
  const done = run(begun.state, ...storedTo(received, bytes));
  return { state: done.state, answered: offsetOf(done.effects) };
}

function offsetOf(effects: readonly SessionEffect[]): number | undefined {
  const reply = effects.find((effect) => effect.type === "reply")?.reply;
  return reply !== undefined && "received" in reply ? reply.received : -1;
}

describe("a fragment", () => {
  it("at the next byte wanted is appended and answered with its end", () => {
    expect(run(half, fragment(100, 149), ...storedTo(150, 50))).toEqual({
      state: { ...half, received: 150, end: 150 },
      effects: [
        { type: "store", skip: 0, offset: 100, bytes: 50 },
        { type: "fill", received: 150, total: 200 },
        { type: "reply", reply: { type: "received", received: 150 } },
      ],
    });
  });

  it("that is the first has the total recorded before a byte is written", () => {
    const { state, effects } = run(openSession(0, undefined), fragment(0, 49));
    expect(state.total).toBe(200);
    expect(effects).toEqual([
      { type: "record", total: 200 },
      { type: "store", skip: 0, offset: 0, bytes: 50 },
    ]);
  });

  it("that overlaps is trimmed: no byte is written twice", () => {
    const { effects } = run(half, fragment(60, 149), ...storedTo(150, 50));
    expect(effects).toEqual([
      { type: "store", skip: 40, offset: 100, bytes: 50 },
      { type: "fill", received: 150, total: 200 },
      { type: "reply", reply: { type: "received", received: 150 } },
    ]);
  });

  it("that lies wholly in what is there is answered 200 with the next byte wanted", () => {
    const { state, effects } = run(half, fragment(10, 59), ...storedTo(100, 0));
    expect(state).toEqual(half);
    expect(effects).toEqual([
      { type: "store", skip: 50, offset: 100, bytes: 0 },
      { type: "fill", received: 100, total: 200 },
      { type: "reply", reply: { type: "received", received: 100 } },
    ]);
  });

  it("that comes again as the last one completes the upload as the first time", () => {
    const { effects } = run(complete, fragment(100, 199), ...storedTo(200, 0), { type: "close" });
    expect(effects.slice(2)).toEqual([
      { type: "reply", reply: { type: "received", received: 200 } },
      { type: "publish", total: 200 },
    ]);
  });

  it("behind a gap is answered 416 with the next byte wanted and no HRESULT", () => {
    const reply = refusalTo(half, fragment(101, 149));
    expect(reply).toMatchObject({ status: 416, received: 100, code: "ERR_BITS_RANGE_GAP" });
    expect(reply).not.toHaveProperty("hresult");
  });

  it("behind a gap as the first of all does not set the total", () => {
    expect(refusalTo(openSession(0, undefined), fragment(1, 9))).toMatchObject({ status: 416, received: 0 });
  });

  it.each([199, 201])("of a total that changed to %i is answered 400 and E_INVALIDARG", (total) => {
    expect(refusalTo(half, fragment(100, 149, total))).toMatchObject({
      status: 400,
      hresult: HRESULT.invalidArgument,
      received: 100,
    });
  });

  it("of a file at the limit is taken, of one byte more answered 500 and BG_E_TOO_LARGE", () => {
    const fresh = openSession(0, undefined);
    expect(run(fresh, fragment(0, 49, 1000)).state.phase).toBe("storing");
    expect(refusalTo(fresh, fragment(0, 49, 1001))).toMatchObject({
      status: 500,
      hresult: HRESULT.tooLarge,
      received: 0,
    });
  });

  it("at the limit is taken, one byte longer answered 413", () => {
    const reply = refusalTo(half, fragment(100, 200, 500));
    expect(run(half, fragment(100, 199)).state.phase).toBe("storing");
    expect(reply).toMatchObject({ status: 413, received: 100 });
    expect(reply).not.toHaveProperty("hresult");
  });

  it.each([
    ["too large before too long", fragment(0, 200, 1001), 500],
    ["too long before a changed total", fragment(0, 200, 500), 413],
    ["a changed total before a gap", fragment(150, 160, 500), 400],
  ])("with two faults is refused for the first of the table: %s", (_, event, status) => {
    expect(refusalTo(half, event)).toMatchObject({ status });
  });

  it("is answered ahead of its end when the intake had what follows, with the next missing run", () => {
    const { state, effects } = run(
      half,
      fragment(100, 109),
      wrote(10),
      { type: "stored" },
      {
        type: "filled",
        received: 160,
        missing: [160, 179],
      },
    );
    expect(state.received).toBe(160);
    expect(effects.at(-1)).toEqual({
      type: "reply",
      reply: { type: "received", received: 160, missing: [160, 179] },
    });
  });

  it("of an application's job is answered with the reply URL", () => {
    const filled = { type: "filled", received: 200, replyUrl: "/r/1" } as const;
    const { effects } = run(half, fragment(100, 199), wrote(100), { type: "stored" }, filled);
    expect(effects.at(-1)).toMatchObject({ reply: { type: "received", replyUrl: "/r/1" } });
  });

  it("whose connection breaks leaves what was written, and no lock", () => {
    const { state, effects } = run(half, fragment(100, 149), wrote(20), { type: "interrupted" });
    expect(effects).toEqual([{ type: "store", skip: 0, offset: 100, bytes: 50 }]);
    expect(state).toEqual({ ...half, received: 120, end: 120 });
    expect(run(state, fragment(100, 149)).effects).toEqual([
      { type: "store", skip: 20, offset: 120, bytes: 30 },
    ]);
  });

  it("that finds the disk full is answered 500 and 0x80070070, and the session goes on from what was written", () => {
    const full = { type: "failed", fault: diskFull(), ends: false } as const;
    const { state, effects } = run(half, fragment(100, 149), wrote(20), full);
    expect(effects.at(-1)).toMatchObject({
      reply: { type: "refused", status: 500, hresult: HRESULT.diskFull, received: 120 },
    });
    expect(run(state, fragment(120, 149), ...storedTo(150, 30)).state.received).toBe(150);
  });

  it("of a session whose bytes vanished is answered 404 and ends the session", () => {
    const { state, effects } = run(half, fragment(100, 149), {
      type: "failed",
      fault: uploadVanished(),
      ends: true,
    });
    expect(state.phase).toBe("ended");
    expect(effects.slice(1)).toMatchObject([{ type: "discard" }, { type: "reply", reply: { status: 404 } }]);
  });

  it("may be cut off for a packet that waits 10 s after its last bytes", () => {
    const { state } = run(
      half,
      { type: "fragment", fragment: { first: 100, last: 149, total: 200 }, now: 5000 },
      { type: "wrote", bytes: 1, now: 7000 },
    );
    expect(interruptibleAt(state)).toBe(7000 + STALLED_FRAGMENT_MS);
    expect(interruptibleAt(half)).toBeUndefined();
    expect(interruptibleAt(run(complete, { type: "close" }).state)).toBeUndefined();
  });
});

describe("a Close-Session", () => {
  it("of a complete file publishes, forgets the session, and is then answered", () => {
    const closing = run(complete, { type: "close" });
    expect(closing.effects).toEqual([{ type: "publish", total: 200 }]);
    expect(run(closing.state, { type: "published" })).toMatchObject({
      state: { phase: "ended" },
      effects: [{ type: "forget" }, { type: "reply", reply: { type: "ack" } }],
    });
  });

  it("of an incomplete file publishes nothing, deletes what is there and is answered 400", () => {
    const { state, effects } = run(openSession(199, 200), { type: "close" });
    expect(state.phase).toBe("ended");
    expect(effects).toMatchObject([
      { type: "discard" },
      { type: "reply", reply: { type: "refused", status: 400, hresult: HRESULT.invalidArgument } },
    ]);
  });

  it("without a fragment, so of an empty file, is answered 400 and leaves nothing", () => {
    expect(run(openSession(0, undefined), { type: "close" }).effects).toMatchObject([
      { type: "discard" },
      { type: "reply", reply: { status: 400 } },
    ]);
  });

  it("of a file that the intake refuses ends the session with the intake's answer", () => {
    const fault = accessDenied("there is such a version", "ERR_IMAGE_EXISTS");
    const { state, effects } = run(complete, { type: "close" }, { type: "failed", fault, ends: true });
    expect(state.phase).toBe("ended");
    expect(effects.slice(1)).toMatchObject([
      { type: "discard" },
      { type: "reply", reply: { status: 403, hresult: HRESULT.accessDenied, code: "ERR_IMAGE_EXISTS" } },
    ]);
  });

  it("that fails for now can be sent again", () => {
    const full = { type: "failed", fault: diskFull(), ends: false } as const;
    const { state, effects } = run(complete, { type: "close" }, full);
    expect(state).toEqual(complete);
    expect(effects.at(-1)).toMatchObject({ reply: { status: 500, hresult: HRESULT.diskFull } });
    expect(effects.at(-1)).not.toHaveProperty("reply.received");
    expect(run(state, { type: "close" }).effects).toEqual([{ type: "publish", total: 200 }]);
  });
});

describe("a Cancel-Session", () => {
  it.each([openSession(0, undefined), half, complete])("deletes %j and is answered 200", (session) => {
    const { state, effects } = run(session, { type: "cancel" });
    expect(state.phase).toBe("ended");
    expect(effects).toEqual([{ type: "discard" }, { type: "reply", reply: { type: "ack" } }]);
  });
});

describe("a session that ended", () => {
  const ended = run(half, { type: "drop" });

  it("by time or surplus is deleted without an answer", () => {
    expect(ended.effects).toEqual([{ type: "discard" }]);
    expect(run(ended.state, { type: "drop" }).effects).toEqual([]);
  });

  it.each<SessionEvent>([fragment(100, 149), { type: "close" }, { type: "cancel" }])(
    "while a $type waited for it is unknown: 500 and 0x8020001F",
    (event) => {
      expect(refusalTo(ended.state, event)).toMatchObject({ status: 500, hresult: HRESULT.sessionNotFound });
    },
  );
});

describe("a driver that breaks the rules", () => {
  const storing = run(half, fragment(100, 149)).state;
  const filling = run(storing, wrote(50), { type: "stored" }).state;

  it.each<[string, SessionState, SessionEvent]>([
    ["two fragments at once", storing, fragment(100, 149)],
    ["a Close amid a fragment", storing, { type: "close" }],
    ["a Cancel amid a Close", run(complete, { type: "close" }).state, { type: "cancel" }],
    ["more bytes than the fragment has", storing, wrote(51)],
    ["bytes taken back", storing, wrote(-1)],
    ["a fragment stored in part", storing, { type: "stored" }],
    ["bytes of no fragment", half, wrote(1)],
    ["filling backwards", filling, { type: "filled", received: 149 }],
    ["filling beyond the total", filling, { type: "filled", received: 201 }],
    ["publication without a Close", half, { type: "published" }],
    ["a failure of nothing", half, { type: "failed", fault: diskFull(), ends: false }],
  ])("is told so: %s", (_, state, event) => {
    expect(() => stepSession(state, event, LIMITS)).toThrow(/^unreachable/);
  });
});

describe("any sequence of packets and faults", () => {
  it("writes every byte once, in order, and answers with the end of what is there", () => {
    fc.assert(
      fc.property(fc.array(ATTEMPT, { maxLength: 40 }), (attempts) => {
        const file: number[] = [];
        let state = openSession(0, undefined);
        for (const attempt of attempts) {
          const played = play(state, file, attempt);
          ({ state } = played);
          expect([state.phase, state.received]).toEqual(["idle", file.length]);
          expect([undefined, file.length]).toContain(played.answered);
        }
        expect(file).toEqual(file.map((_, at) => at));
      }),
    );
  });
});
