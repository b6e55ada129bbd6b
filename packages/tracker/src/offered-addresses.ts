import {
  DEFAULT_PEER_PORT,
  type IpAddress,
  type IpNetwork,
  isHostIp,
  isLoopbackIp,
  isPrivateIp,
  networkContains,
  type PeerAddress,
} from "@ckmesh/wire";
import { MAX_OFFERS_PER_PEER } from "./tracker-rules.js";

/** Ports below are those of system services; the dial policy refuses them too. */
const FIRST_USER_PORT = 1024;

export interface OfferInput {
  readonly observed: IpAddress;
  readonly addresses: readonly IpAddress[];
  readonly port: number;
  /** Of the site; empty = no restriction. */
  readonly networks: readonly IpNetwork[];
  readonly allowLoopback: boolean;
}

/**
 * The addresses under which the tracker introduces a client: the one it observed and announced private ones;
 * where the site has networks only those inside them. Never loopback (but for tests), link-local or
 * multicast, never an announced public address: a client could point others at a third party.
 */
export function offeredAddresses(input: OfferInput): readonly PeerAddress[] {
  const { observed, port, networks, allowLoopback } = input;
  if (port !== DEFAULT_PEER_PORT && port < FIRST_USER_PORT) return [];
  if (isLoopbackIp(observed)) return allowLoopback ? [{ address: observed.toString(), port }] : [];
  const texts = new Set<string>();
  for (const address of [observed, ...input.addresses.filter(isPrivateIp)]) {
    const isInside = networks.length === 0 || networks.some((network) => networkContains(network, address));
    if (isInside && isHostIp(address)) texts.add(address.toString());
  }
  return [...texts].slice(0, MAX_OFFERS_PER_PEER).map((address) => ({ address, port }));
}
