import type { PeerAddress } from "@ckmesh/wire";
import ipaddr from "ipaddr.js";

type Network = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/** What addresses may be dialled. */
export interface DialScope {
  /** Subnets of the own interfaces, CIDR. */
  readonly own: readonly string[];
  /** Networks of the site, from the configuration or the tracker, CIDR. */
  readonly site: readonly string[];
  /** Tests and demonstrations on one machine only. */
  readonly allowLoopback: boolean;
  /** The one default peer port, also when it is below 1024. */
  readonly peerPort: number;
}

/**
 * The dial policy: IP literals only; the peer port or an unprivileged one; in an own subnet, or in a site
 * network if private; never loopback, link-local, multicast, broadcast or unspecified addresses.
 */
export class DialPolicy {
  readonly #own: readonly Network[];
  readonly #site: readonly Network[];
  readonly #scope: DialScope;

  constructor(scope: DialScope) {
    this.#scope = scope;
    this.#own = scope.own.flatMap(parseNetwork);
    this.#site = scope.site.flatMap(parseNetwork);
  }

  /** True if the policy lets this client dial `peer`. */
  admits(peer: PeerAddress): boolean {
    const { allowLoopback, peerPort } = this.#scope;
    if (!Number.isInteger(peer.port) || peer.port > 65_535 || (peer.port < 1024 && peer.port !== peerPort))
      return false;
    const address = parseAddress(peer.address);
    if (address === undefined || isBroadcast(address, this.#own)) return false;
    const range = address.range();
    if (range === "loopback") return allowLoopback;
    if (NEVER.has(range)) return false;
    if (contains(this.#own, address)) return true;
    return (range === "private" || range === "uniqueLocal") && contains(this.#site, address);
  }

  /** True if the address lies in a subnet of this machine: of the site whatever its round-trip time says. */
  isOwnSubnet(text: string): boolean {
    const address = parseAddress(text);
    if (address === undefined) return false;
    return contains(this.#own, address) || (this.#scope.allowLoopback && address.range() === "loopback");
  }
}

const NEVER = new Set(["unspecified", "broadcast", "multicast", "linkLocal", "reserved"]);

function parseAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text) && !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.process(text);
}

function parseNetwork(text: string): Network[] {
  return ipaddr.isValidCIDR(text) ? [ipaddr.parseCIDR(text)] : [];
}

function contains(networks: readonly Network[], address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  return networks.some(([base, bits]) => base.kind() === address.kind() && address.match(base, bits));
}

/** The last address of an own IPv4 subnet reaches everybody in it. */
function isBroadcast(address: ipaddr.IPv4 | ipaddr.IPv6, own: readonly Network[]): boolean {
  if (address.kind() !== "ipv4") return false;
  return own.some(([base, bits]) => {
    if (base.kind() !== "ipv4" || bits > 30) return false;
    return (
      ipaddr.IPv4.broadcastAddressFromCIDR(`${base.toString()}/${bits}`).toString() === address.toString()
    );
  });
}
