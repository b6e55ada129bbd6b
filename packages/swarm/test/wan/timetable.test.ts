import { isAppError } from "@ckmesh/core";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MAX_TIMETABLE_LINES } from "../../src/constants.js";
import { type LocalTime, modeAt, nextEdge, parseTimetable } from "../../src/index.js";

const HOUR = 3_600_000;
const [SUN, MON, TUE, FRI, SAT] = [0, 1, 2, 5, 6];
const at = (day: number, hour: number, minute = 0): LocalTime => ({ day, minute: hour * 60 + minute });

/** A wall that shows Unix time, shifted by `shift(wall)` ms. 1970-01-01 was a Thursday. */
function clockOf(shift: (wall: number) => number = () => 0): (wall: number) => LocalTime {
  return (wall) => {
    const minutes = Math.floor((wall + shift(wall)) / 60_000);
    return { day: (Math.floor(minutes / 1440) + 4) % 7, minute: minutes % 1440 };
  };
}

/** The days of a week, from Sunday, on which a line is in force at nine. */
const week = (line: string): string =>
  Array.from({ length: 7 }, (_, day) =>
    modeAt(parseTimetable([line]), at(day, 9)) === "off" ? "x" : "-",
  ).join("");

/** True if the lines are taken, or refused with a code. */
function isTaken(lines: readonly string[]): boolean {
  try {
    parseTimetable(lines);
    return true;
  } catch (err) {
    return isAppError(err, "ERR_USAGE");
  }
}

describe("timetable", () => {
  it("has the mode of the first line that fits, and full elsewhere", () => {
    const table = parseTimetable([
      "mon 12:00-13:00 full",
      "mon-fri 08:00-18:00 slow",
      "sat,sun 00:00-24:00 off",
    ]);
    expect(modeAt(table, at(MON, 7, 59))).toBe("full");
    expect(modeAt(table, at(MON, 8))).toBe("slow");
    expect(modeAt(table, at(MON, 12, 30))).toBe("full");
    expect(modeAt(table, at(TUE, 12, 30))).toBe("slow");
    expect(modeAt(table, at(FRI, 17, 59))).toBe("slow");
    expect(modeAt(table, at(FRI, 18))).toBe("full");
    expect(modeAt(table, at(SAT, 0))).toBe("off");
    expect(modeAt(table, at(SUN, 23, 59))).toBe("off");
    expect(modeAt([], at(SUN, 0))).toBe("full");
  });

  it("counts hours after midnight to the day on which the line begins", () => {
    const table = parseTimetable(["fri 22:00-06:00 off"]);
    expect(modeAt(table, at(FRI, 5))).toBe("full");
    expect(modeAt(table, at(FRI, 22))).toBe("off");
    expect(modeAt(table, at(SAT, 5, 59))).toBe("off");
    expect(modeAt(table, at(SAT, 6))).toBe("full");
  });

  it("takes days as a range over the end of the week, as a list, and daily", () => {
    expect(week("fri-mon 08:00-10:00 off")).toBe("xx---xx");
    expect(week("tue,thu-fri 08:00-10:00 off")).toBe("--x-xx-");
    expect(week("daily 08:00-10:00 off")).toBe("xxxxxxx");
  });

  it("knows the next edge, also over days of 23 and 25 hours", () => {
    const table = parseTimetable(["daily 08:00-18:00 slow"]);
    expect(nextEdge(table, 7 * HOUR, clockOf())).toBe(8 * HOUR);
    expect(nextEdge(table, 8 * HOUR, clockOf())).toBe(18 * HOUR);
    expect(nextEdge(table, 20 * HOUR + 30_000, clockOf())).toBe(32 * HOUR);
    // At 26 h the clocks go forward: 8 o'clock comes an hour early. Or back: an hour late.
    expect(
      nextEdge(
        table,
        20 * HOUR,
        clockOf((wall) => (wall >= 26 * HOUR ? HOUR : 0)),
      ),
    ).toBe(31 * HOUR);
    expect(
      nextEdge(
        table,
        20 * HOUR,
        clockOf((wall) => (wall >= 26 * HOUR ? -HOUR : 0)),
      ),
    ).toBe(33 * HOUR);
    expect(nextEdge(parseTimetable(["daily 00:00-24:00 slow"]), 0, clockOf())).toBeUndefined();
    expect(nextEdge([], 0, clockOf())).toBeUndefined();
  });

  it.each([
    "",
    "mon-fri 08:00-18:00",
    "mon-fri 08:00-18:00 fast",
    "monday 08:00-18:00 slow",
    "mon- 08:00-18:00 slow",
    "mon-tue-wed 08:00-18:00 slow",
    "mon 8-18 slow",
    "mon 24:00-25:00 slow",
    "mon 08:60-18:00 slow",
    "mon 08:00-08:00 slow",
    "mon 08:00-24:01 slow",
  ])("refuses %j", (line) => {
    expect(() => parseTimetable([line])).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
  });

  it("has a limit of lines", () => {
    const lines = Array.from({ length: MAX_TIMETABLE_LINES }, () => "mon 08:00-18:00 slow");
    expect(parseTimetable(lines)).toHaveLength(MAX_TIMETABLE_LINES);
    expect(() => parseTimetable([...lines, "mon 08:00-18:00 slow"])).toThrow("more than");
  });

  it("throws nothing but AppError for any text", () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (lines) => {
        expect(isTaken(lines)).toBe(true);
      }),
    );
  });

  it("changes its mode at the next edge and nowhere before", () => {
    const hour = fc.integer({ min: 0, max: 23 });
    const day = fc.constantFrom("mon", "tue-thu", "sat,sun", "daily", "fri-mon");
    const mode = fc.constantFrom("off", "slow", "full");
    const line = fc
      .tuple(day, hour, hour, mode)
      .filter(([, from, to]) => from !== to)
      .map(([days, from, to, what]) => `${days} ${from}:00-${to}:00 ${what}`);
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 4 }),
        fc.integer({ min: 0, max: 14 * 24 * HOUR }),
        (lines, now) => {
          const table = parseTimetable(lines);
          const mode0 = modeAt(table, clockOf()(now));
          const edge = nextEdge(table, now, clockOf());
          const end = edge ?? now + 7 * 24 * HOUR;
          for (let wall = now; wall < end; wall += 20 * 60_000)
            expect(modeAt(table, clockOf()(wall))).toBe(mode0);
          expect(modeAt(table, clockOf()(end)) === mode0).toBe(edge === undefined);
        },
      ),
      { numRuns: 50 },
    );
  });
});
