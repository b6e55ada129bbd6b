import {
  type IpAddress,
  type IpNetwork,
  isPrivateIp,
  networkContains,
  type PeerAddress,
  parseIp,
  parseNetwork,
} from "@ckmesh/wire";

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
  readonly #own: readonly IpNetwork[];
  readonly #site: readonly IpNetwork[];
  readonly #scope: DialScope;

  constructor(scope: DialScope) {
    this.#scope = scope;
    this.#own = scope.own.flatMap(networks);
    this.#site = scope.site.flatMap(networks);
  }

  /** True if the policy lets this client dial `peer`. */
  admits(peer: PeerAddress): boolean {
    const { allowLoopback, peerPort } = this.#scope;
    if (!Number.isInteger(peer.port) || peer.port > 65_535 || (peer.port < 1024 && peer.port !== peerPort))
      return false;
    const address = parseIp(peer.address);
    if (address === undefined || isBroadcast(address, this.#own)) return false;
    const range = address.range();
    if (range === "loopback") return allowLoopback;
    if (NEVER.has(range)) return false;
    if (contains(this.#own, address)) return true;
    return isPrivateIp(address) && contains(this.#site, address);
  }

  /** True if the address lies in a subnet of this machine: of the site whatever its round-trip time says. */
  isOwnSubnet(text: string): boolean {
    const address = parseIp(text);
    if (address === undefined) return false;
    return contains(this.#own, address) || (this.#scope.allowLoopback && address.range() === "loopback");
  }
}

const NEVER = new Set(["unspecified", "broadcast", "multicast", "linkLocal"]);

function networks(text: string): IpNetwork[] {
  const network = parseNetwork(text);
  return network === undefined ? [] : [network];
}

function contains(list: readonly IpNetwork[], address: IpAddress): boolean {
  return list.some((network) => networkContains(network, address));
}

/** The last address of an own IPv4 subnet reaches everybody in it. */
function isBroadcast(address: IpAddress, own: readonly IpNetwork[]): boolean {
  const bytes = address.toByteArray();
  if (bytes.length !== 4) return false;
  return own.some((network) => {
    if (network.prefixLength > 30 || !networkContains(network, address)) return false;
    return bytes.every((byte, i) => {
      const hostBits = 0xff >> Math.min(8, Math.max(0, network.prefixLength - i * 8));
      return (byte & hostBits) === hostBits;
    });
  });
}
