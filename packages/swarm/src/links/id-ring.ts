import type { PeerIdPrefix } from "@ckmesh/wire";

/**
 * The ids nearest to one on the ring of all ids (site swarm rule 3): as many after it as before it. Who knows his
 * nearest on both sides is one of a ring, and a ring is connected.
 * @param count at most so many; all when there are no more
 */
export function nearestIds(
  self: PeerIdPrefix,
  ids: Iterable<PeerIdPrefix>,
  count: number,
): Set<PeerIdPrefix> {
  const ring = [...new Set(ids)].filter((id) => id !== self).toSorted(byCode);
  if (ring.length <= count) return new Set(ring);
  let next = ring.findIndex((id) => id > self);
  if (next < 0) next = 0;
  const half = count / 2;
  const nearest = new Set<PeerIdPrefix>();
  for (let step = 0; step < half; step++) {
    const [after, before] = [ring[(next + step) % ring.length], ring.at(next - 1 - step)];
    if (after !== undefined) nearest.add(after);
    if (before !== undefined) nearest.add(before);
  }
  return nearest;
}

/** Hex digits in the order of the numbers they write; a locale's order would be slower, and its own. */
function byCode(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
