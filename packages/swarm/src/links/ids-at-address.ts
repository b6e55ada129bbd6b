import type { PeerAddress } from "@ckmesh/wire";
import type { Link } from "./link.js";

/**
 * Where a machine is, as far as ids are counted: its address; on loopback, its address and port.
 * @param allowLoopback several machines of a test share one address
 */
export function placeOf({ address, port }: PeerAddress, allowLoopback: boolean): string {
  return allowLoopback && /^(127\.|::1$)/.test(address) ? `${address} ${port}` : address;
}

/** Other ids that are connected from the link's place (site swarm rule 6). */
export function otherIdsAt(link: Link, links: Iterable<Link>, allowLoopback: boolean): number {
  const place = placeOf(link, allowLoopback);
  let ids = 0;
  for (const other of links)
    ids += Number(other.peerId !== link.peerId && placeOf(other, allowLoopback) === place);
  return ids;
}
