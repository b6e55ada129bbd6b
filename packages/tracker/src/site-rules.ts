import {
  formatNetwork,
  type IpAddress,
  type IpNetwork,
  isLoopbackIp,
  isPrivateIp,
  networkContains,
  networkOf,
} from "@ckmesh/wire";

/** A site as configured. */
export interface SiteRange {
  readonly label: string;
  readonly networks: readonly IpNetwork[];
}

/** Where a client is. */
export interface Site {
  /** Clients with the same key are of one site; a label never equals a derived key. */
  readonly key: string;
  /** For people. */
  readonly name: string;
  /** Empty when not configured. */
  readonly networks: readonly IpNetwork[];
}

/** What is known of a client's place. */
export interface Whereabouts {
  /** Of the ticket, from the origin's address map. */
  readonly ticketSite?: string | undefined;
  /** Of the hello, from the client's configuration. */
  readonly label?: string | undefined;
  readonly observed: IpAddress;
  /** Announced, in the client's order of preference. */
  readonly addresses: readonly IpAddress[];
  /** Announced, of its own interfaces. */
  readonly subnets: readonly IpNetwork[];
}

/** Announced subnets wider than these are no LAN: the default lengths count instead. */
const WIDEST_SUBNET = { ipv4: 16, ipv6: 48 } as const;
const DEFAULT_SUBNET = { ipv4: 24, ipv6: 64 } as const;

/**
 * The site of a client: the ticket's, else the label of its hello, else a configured network, else the
 * subnet (DESIGN section 6). A configured network is looked for around the observed address first, then
 * around the announced private ones; the longest prefix wins. Clients in different subnets are of
 * different sites, even behind one public address; equal subnets behind different public addresses too.
 */
export function siteOf(ranges: readonly SiteRange[], where: Whereabouts): Site {
  const label = where.ticketSite ?? where.label;
  if (label !== undefined) return labelled(ranges, label);
  const privates = where.addresses.filter(isPrivateIp);
  for (const address of [where.observed, ...privates]) {
    const range = longestMatch(ranges, address);
    if (range !== undefined) return labelled(ranges, range.label);
  }
  return bySubnet(where, privates[0]);
}

function labelled(ranges: readonly SiteRange[], label: string): Site {
  const networks = ranges.find((range) => range.label === label)?.networks ?? [];
  return { key: `label ${label}`, name: label, networks };
}

function longestMatch(ranges: readonly SiteRange[], address: IpAddress): SiteRange | undefined {
  let best: { readonly range: SiteRange; readonly length: number } | undefined;
  for (const range of ranges) {
    for (const network of range.networks) {
      if (networkContains(network, address) && network.prefixLength > (best?.length ?? -1)) {
        best = { range, length: network.prefixLength };
      }
    }
  }
  return best?.range;
}

function bySubnet(where: Whereabouts, privateAddress: IpAddress | undefined): Site {
  const { observed } = where;
  if (isPrivateIp(observed) || isLoopbackIp(observed)) {
    const subnet = formatNetwork(subnetOf(observed, where.subnets));
    return { key: `subnet ${subnet}`, name: subnet, networks: [] };
  }
  // Behind an address translator the private subnet tells branches apart that share one public address.
  const outside =
    observed.kind() === "ipv6"
      ? formatNetwork(networkOf(observed, DEFAULT_SUBNET.ipv6))
      : observed.toString();
  const inside = privateAddress === undefined ? "" : formatNetwork(subnetOf(privateAddress, where.subnets));
  const name = inside === "" ? outside : `${inside} behind ${outside}`;
  return { key: `subnet ${name}`, name, networks: [] };
}

function subnetOf(address: IpAddress, subnets: readonly IpNetwork[]): IpNetwork {
  const kind = address.kind();
  const own = subnets
    .filter((subnet) => subnet.prefixLength >= WIDEST_SUBNET[kind] && networkContains(subnet, address))
    .toSorted((a, b) => a.prefixLength - b.prefixLength)[0];
  return own ?? networkOf(address, DEFAULT_SUBNET[kind]);
}
