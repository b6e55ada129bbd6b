import { MAX_IDS_PER_ADDRESS, MAX_LINKS, MAX_SITE_RTT_MS, SPARE_LINKS } from "../constants.js";
import type { CloseReason, LinkId } from "../swarm-messages.js";
import type { Bans } from "./bans.js";
import { otherIdsAt } from "./ids-at-address.js";
import type { Link } from "./link.js";
import type { Overlay } from "./overlay.js";

export interface AdmissionView {
  readonly peerId: string;
  readonly swarming: boolean;
  readonly allowLoopback: boolean;
  readonly links: ReadonlyMap<LinkId, Link>;
  readonly bans: Bans;
  readonly isOwnSubnet: (address: string) => boolean;
  readonly overlay: Pick<Overlay, "placeFor">;
}

/**
 * Whether a link that came up is kept: why not, and which other one goes in its favour: one to the same peer, or, of a
 * full machine, a random one in favour of a near one.
 */
export function admission(
  link: Link,
  view: AdmissionView,
  now: number,
): { readonly refusal?: CloseReason; readonly replaced?: Link; readonly spared?: Link } {
  if (!view.swarming) return { refusal: "too-many" };
  if (link.peerId === view.peerId) return { refusal: "self" };
  if (view.bans.has(link.peerId, now) || view.bans.has(link.address, now)) return { refusal: "banned" };
  if (link.rttMs > MAX_SITE_RTT_MS && !view.isOwnSubnet(link.address)) return { refusal: "far" };
  const ids = otherIdsAt(link, view.links.values(), view.allowLoopback);
  if (ids >= MAX_IDS_PER_ADDRESS) return { refusal: "too-many" };
  const replaced = [...view.links.values()].find((other) => other.peerId === link.peerId);
  if (replaced !== undefined) {
    // Both sides keep the link that the lower peer id dialled; of two such links, the older.
    const keep = (l: Link): boolean => l.inbound === link.peerId < view.peerId;
    return keep(replaced) || !keep(link) ? { refusal: "duplicate" } : { replaced };
  }
  if (view.links.size < MAX_LINKS + (link.inbound ? SPARE_LINKS : 0)) return {};
  const spared = view.overlay.placeFor(link, now);
  return spared === undefined ? { refusal: "too-many" } : { spared };
}
