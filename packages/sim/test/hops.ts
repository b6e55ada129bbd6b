import type { SimNode } from "../src/index.js";

/** Everybody that news from `from` can reach, by the number of links on the way. */
export function hops(from: SimNode): Map<SimNode, number> {
  const found = new Map([[from, 0]]);
  for (const [node, distance] of found)
    for (const { to } of node.links.values()) if (!found.has(to)) found.set(to, distance + 1);
  return found;
}
