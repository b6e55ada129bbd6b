import type { Random } from "@ckmesh/core";

/** After a connection that had lasted: a whole fleet comes back spread over this. */
export const RETURN_SPREAD_MS = 10_000;
/** After the first failed attempt; doubles with each further one … */
export const FIRST_DELAY_MS = 1_000;
/** … up to this. */
export const LONGEST_DELAY_MS = 120_000;

/**
 * How long to wait before connecting again, ms. Random, so that clients do not come back as one.
 * @param failures attempts in a row that failed; 0 = a working connection was lost
 */
export function reconnectDelay(failures: number, random: Random): number {
  if (failures === 0) return random.next() * RETURN_SPREAD_MS;
  const full = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures - 1, 30));
  return full * (0.5 + random.next() / 2);
}
