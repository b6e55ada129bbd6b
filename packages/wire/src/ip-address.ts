import ipaddr from "ipaddr.js";

/** A parsed IP literal; IPv4-mapped IPv6 addresses are unfolded to IPv4. */
export type IpAddress = ipaddr.IPv4 | ipaddr.IPv6;

/** A network in CIDR notation, host bits cleared. */
export interface IpNetwork {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** Longest literal that is looked at: 39 characters, more with an embedded IPv4 part. */
const MAX_LITERAL_LENGTH = 45;

/** Parses an IP literal without zone; undefined for anything else, also for `127.1` or octal parts. */
export function parseIp(text: string): IpAddress | undefined {
  if (text.length > MAX_LITERAL_LENGTH || !/^[0-9a-fA-F.:]+$/.test(text)) return undefined;
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!text.includes(":") || !ipaddr.IPv6.isValid(text)) return undefined;
  const address = ipaddr.IPv6.parse(text);
  return address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

/** Parses `ADDRESS/LENGTH`; undefined for anything else. Host bits are cleared. */
export function parseNetwork(text: string): IpNetwork | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? undefined : parseIp(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined || !/^\d{1,3}$/.test(digits)) return undefined;
  const prefixLength = Number(digits);
  return prefixLength > bitsOf(address) ? undefined : networkOf(address, prefixLength);
}

/** The network of `prefixLength` bits that `address` lies in. */
export function networkOf(address: IpAddress, prefixLength: number): IpNetwork {
  const bytes = address.toByteArray().map((byte, i) => {
    const keep = Math.min(8, Math.max(0, prefixLength - i * 8));
    return byte & (0xff << (8 - keep)) & 0xff;
  });
  return { address: ipaddr.fromByteArray(bytes), prefixLength };
}

export function networkContains(network: IpNetwork, address: IpAddress): boolean {
  const [a, b] = [network.address, address];
  if (a.kind() !== b.kind()) return false;
  const masked = networkOf(b, network.prefixLength).address;
  return masked.toString() === a.toString();
}

/** `ADDRESS/LENGTH`, canonical. */
export function formatNetwork(network: IpNetwork): string {
  return `${network.address.toString()}/${network.prefixLength}`;
}

/** RFC 1918 or RFC 4193. */
export function isPrivateIp(address: IpAddress): boolean {
  const range = address.range();
  return range === "private" || range === "uniqueLocal";
}

export function isLoopbackIp(address: IpAddress): boolean {
  return address.range() === "loopback";
}

/** An address that a host can have towards other hosts: private or public; no loopback, link-local, multicast … */
export function isHostIp(address: IpAddress): boolean {
  const range = address.range();
  // carrierGradeNat: RFC 6598, seen as the observed address behind some providers and in overlay networks.
  return range === "unicast" || range === "carrierGradeNat" || isPrivateIp(address);
}

function bitsOf(address: IpAddress): number {
  return address.kind() === "ipv4" ? 32 : 128;
}
