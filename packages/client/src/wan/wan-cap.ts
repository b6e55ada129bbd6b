import { AppError, parseRate } from "@ckmesh/core";
import type { WanMode } from "@ckmesh/swarm";

/** What a person or a timetable asks for: a mode, or a rate of the whole site in bytes per second. */
export type WanCap = WanMode | number;

/**
 * Parses `off`, `slow`, `full`, or a rate such as `20M`.
 * @throws {AppError} ERR_USAGE
 */
export function parseWanCap(text: string): WanCap {
  if (text === "off" || text === "slow" || text === "full") return text;
  const rate = parseRate(text);
  if (rate > 0) return rate;
  throw new AppError("ERR_USAGE", "a rate must be more than 0; off fetches nothing from the origin");
}
