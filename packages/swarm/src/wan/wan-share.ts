import { SHARE_GROWTH, SMALLEST_SHARE } from "../constants.js";

/** A machine of the site that fetches over the WAN, or is about to. */
export interface WanMover {
  /** What it last said of its own rate, bytes per second; 0: not known yet. */
  readonly rate: number;
}

/**
 * What one of the movers may use of the site's budget, bytes per second. Everybody computes the shares of all from
 * what the claims say, so without a coordinator the shares add up to the budget: what a slow one leaves, beyond
 * `SHARE_GROWTH` times what it said it uses, goes to the others in equal parts. A newcomer, whose rate is not
 * known, has an equal part kept for it.
 * @param index whose share: position in `movers`
 */
export function wanShare(budget: number, movers: readonly WanMover[], index: number): number {
  const floor = budget / SMALLEST_SHARE;
  const demands = movers
    .map(({ rate }, at) => ({ at, demand: rate > 0 ? Math.max(floor, SHARE_GROWTH * rate) : budget }))
    .toSorted((a, b) => a.demand - b.demand || a.at - b.at);
  let left = budget;
  let count = demands.length;
  let own = 0;
  for (const { at, demand } of demands) {
    const share = Math.min(demand, left / count);
    if (at === index) own = share;
    left -= share;
    count -= 1;
  }
  return own + left / movers.length;
}
