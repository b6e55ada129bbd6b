import type { Link } from "./link.js";

/**
 * Other ids that are connected from the link's address (site swarm rule 6); on loopback, from its address and port.
 * @param allowLoopback several machines of a test share one address
 */
export function otherIdsAt(link: Link, links: Iterable<Link>, allowLoopback: boolean): number {
  const isLoopback = allowLoopback && /^(127\.|::1$)/.test(link.address);
  let ids = 0;
  for (const other of links) {
    const isSamePlace = other.address === link.address && (!isLoopback || other.port === link.port);
    ids += Number(isSamePlace && other.peerId !== link.peerId);
  }
  return ids;
}
