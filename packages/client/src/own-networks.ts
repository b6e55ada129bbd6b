import { networkInterfaces } from "node:os";
import { formatNetwork, isHostIp, isLoopbackIp, networkOf, parseIp } from "@ckmesh/wire";

/** What the interfaces of this machine say about where it is. */
export interface OwnNetworks {
  /** Own addresses that other machines could reach. */
  readonly addresses: readonly string[];
  /** Their subnets, CIDR. */
  readonly subnets: readonly string[];
}

/** Addresses and subnets of the interfaces; loopback only with `allowLoopback`. */
export function ownNetworks(allowLoopback: boolean): OwnNetworks {
  const addresses = new Set<string>();
  const subnets = new Set<string>();
  for (const entries of Object.values(networkInterfaces())) {
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
