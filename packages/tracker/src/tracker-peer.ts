import { type IpAddress, isPrivateIp, parseIp, parseNetwork, type ToTracker } from "@ckmesh/wire";
import type { Admission } from "./admission.js";
import { offeredAddresses } from "./offered-addresses.js";
import { type Site, siteOf } from "./site-rules.js";
import type { Member } from "./swarm-members.js";
import { TokenBucket } from "./token-bucket.js";
import { ANNOUNCE_BURST, MESSAGE_BURST, type TrackerRules } from "./tracker-rules.js";

/** A client (or an origin) that was let in. */
export interface TrackerPeer {
  readonly member: Member;
  readonly observed: string;
  readonly site: Site;
  readonly admission: Admission;
  readonly claimRules: number;
  /** Keys of the swarms that it announced. */
  readonly swarms: Set<string>;
  readonly messages: TokenBucket;
  readonly announces: TokenBucket;
}

export interface PeerInput {
  readonly connection: number;
  /** Lower-case hex. */
  readonly peerId: string;
  readonly observed: IpAddress;
  readonly hello: Extract<ToTracker, { type: "hello" }>;
  readonly admission: Admission;
  readonly now: number;
}

/** Finds the site of a client that was let in, and the addresses under which others may hear of it. */
export function placePeer(
  rules: Pick<TrackerRules, "sites" | "allowLoopback">,
  input: PeerInput,
): TrackerPeer {
  const { observed, hello, admission } = input;
  const addresses = hello.addresses.flatMap((text) => parseIp(text) ?? []);
  const subnets = hello.subnets.flatMap((text) => parseNetwork(text) ?? []);
  const site = siteOf(rules.sites, {
    ticketSite: admission.site,
    label: hello.site,
    observed,
    addresses,
    subnets,
  });
  const offers = offeredAddresses({
    observed,
    addresses,
    port: hello.port,
    networks: site.networks,
    allowLoopback: rules.allowLoopback,
  });
  const isPublic = observed.range() === "unicast" && !isPrivateIp(observed);
  return {
    member: {
      connection: input.connection,
      peerId: input.peerId,
      offers,
      publicAddress: isPublic ? observed.toString() : "",
    },
    observed: observed.toString(),
    site,
    admission,
    claimRules: hello.claimRules,
    swarms: new Set(),
    messages: new TokenBucket(MESSAGE_BURST, input.now),
    announces: new TokenBucket(ANNOUNCE_BURST, input.now),
  };
}
