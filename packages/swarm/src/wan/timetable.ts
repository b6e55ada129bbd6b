import { AppError } from "@ckmesh/core";
import { MAX_TIMETABLE_LINES } from "../constants.js";

/** How much of the WAN a client may use: nothing · half of the best rate measured · what is configured. */
export type WanMode = "off" | "slow" | "full";

/** What a clock on the wall shows. */
export interface LocalTime {
  /** 0 = Sunday … 6 = Saturday. */
  readonly day: number;
  /** Minutes since midnight, 0 to 1439. */
  readonly minute: number;
}

/** One line: on these days, from (inclusive) to (exclusive). `to` at or before `from` lies on the next day. */
interface TimetableSpan {
  readonly days: ReadonlySet<number>;
  readonly from: number;
  readonly to: number;
  readonly mode: WanMode;
}

/** Where several lines fit, the first counts; where none does, the mode is `full`. */
export type Timetable = readonly TimetableSpan[];

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;
const DAY_MINUTES = 1440;
const MINUTE_MS = 60_000;
/** A week and the hour that clocks are put back by, in minutes: beyond it nothing new comes. */
const HORIZON_MINUTES = 7 * DAY_MINUTES + 60;

/**
 * Parses lines such as `mon-fri 08:00-18:00 slow`, `sat,sun 00:00-24:00 full`, `daily 22:00-06:00 off` (until
 * the next morning). Times are local.
 * @throws {AppError} ERR_USAGE naming the line
 */
export function parseTimetable(lines: readonly string[]): Timetable {
  if (lines.length > MAX_TIMETABLE_LINES)
    throw new AppError("ERR_USAGE", `more than ${MAX_TIMETABLE_LINES} lines`);
  return lines.map((line) => {
    const m = /^\s*(\S+)\s+(\d\d?):(\d\d)-(\d\d?):(\d\d)\s+(off|slow|full)\s*$/.exec(line);
    const days = parseDays(m?.[1] ?? "");
    const from = Number(m?.[2]) * 60 + Number(m?.[3]);
    const to = Number(m?.[4]) * 60 + Number(m?.[5]);
    const isTime =
      from < DAY_MINUTES && to <= DAY_MINUTES && to !== from && Number(m?.[3]) < 60 && Number(m?.[5]) < 60;
    if (m === null || days === undefined || !isTime) {
      throw new AppError(
        "ERR_USAGE",
        `${JSON.stringify(line.slice(0, 100))} is no line of a timetable; write for example "mon-fri 08:00-18:00 slow" (modes: off, slow, full; 24:00 is midnight)`,
      );
    }
    return { days, from, to, mode: modeOf(m[6]) };
  });
}

/** The mode at a local time. */
export function modeAt(table: Timetable, { day, minute }: LocalTime): WanMode {
  const yesterday = (day + 6) % 7;
  const found = table.find(({ days, from, to }) =>
    to > from
      ? days.has(day) && minute >= from && minute < to
      : (days.has(day) && minute >= from) || (days.has(yesterday) && minute < to),
  );
  return found?.mode ?? "full";
}

/**
 * When the mode changes next, Unix ms; undefined if it never does. Looked for minute by minute, so that days of
 * 23 and 25 hours need no rule of their own.
 * @param localTime what a clock on the wall shows at a Unix time
 */
export function nextEdge(
  table: Timetable,
  wall: number,
  localTime: (wall: number) => LocalTime,
): number | undefined {
  const mode = modeAt(table, localTime(wall));
  if (table.length === 0) return undefined;
  const start = wall - (wall % MINUTE_MS);
  for (let minute = 1; minute <= HORIZON_MINUTES; minute++) {
    const at = start + minute * MINUTE_MS;
    if (modeAt(table, localTime(at)) !== mode) return at;
  }
  return undefined;
}

function parseDays(text: string): ReadonlySet<number> | undefined {
  if (text === "daily") return new Set(DAYS.keys());
  const days = new Set<number>();
  for (const part of text.split(",")) {
    const [first = "", last = first, ...rest] = part.split("-");
    const [from, to] = [indexOfDay(first), indexOfDay(last)];
    if (from < 0 || to < 0 || rest.length > 0) return undefined;
    for (let day = from; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === to) break;
    }
  }
  return days;
}

function indexOfDay(text: string): number {
  return DAYS.findIndex((day) => day === text);
}

function modeOf(text: string | undefined): WanMode {
  return text === "off" || text === "slow" ? text : "full";
}
