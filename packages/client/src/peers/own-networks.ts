import { networkInterfaces } from "node:os";
import { formatNetwork, isHostIp, isLoopbackIp, networkOf, parseIp } from "@ckmesh/wire";

/** What the interfaces of this machine say about where it is. */
export interface OwnNetworks {
  /** Own addresses that other machines could reach. */
  readonly addresses: readonly string[];
  /** Their subnets, CIDR. */
  readonly subnets: readonly string[];
}

/** Bridges of containers and virtual machines: every such host has the same ones, so they say little of the site. */
const VIRTUAL = /^(?:docker|br-|virbr|veth|vmnet|vboxnet|lxcbr|lxdbr|cni|podman|vEthernet)/;

/**
 * Tunnels, as far as their names tell. Who sits in the subnet of one is as far away as the tunnel is long: it is no
 * site (site swarm rule 2), unless the configuration names it as one.
 */
const TUNNEL =
  /^(?:tun|tap|utun|wg|ppp|ipsec|tailscale|zt|cscotun|gpd)\d*\b|vpn|wireguard|tunnel|anyconnect/i;

/**
 * Addresses and subnets of the interfaces, virtual bridges last, tunnels left out; loopback only with
 * `allowLoopback`.
 */
export function ownNetworks(
  allowLoopback: boolean,
  interfacesByName: ReturnType<typeof networkInterfaces> = networkInterfaces(),
): OwnNetworks {
  const addresses = new Set<string>();
  const subnets = new Set<string>();
  const interfaces = Object.entries(interfacesByName).filter(([name]) => !TUNNEL.test(name));
  const byMeaning = interfaces.toSorted(([a], [b]) => Number(VIRTUAL.test(a)) - Number(VIRTUAL.test(b)));
  for (const [, entries] of byMeaning) {
    for (const entry of entries ?? []) {
      const ip = parseIp(entry.address);
      const prefix = Number(entry.cidr?.split("/")[1]);
      if (ip === undefined || !Number.isInteger(prefix)) continue;
      if (!isHostIp(ip) && !(allowLoopback && isLoopbackIp(ip))) continue;
      addresses.add(entry.address);
      subnets.add(formatNetwork(networkOf(ip, prefix)));
    }
  }
  return { addresses: [...addresses], subnets: [...subnets] };
}
