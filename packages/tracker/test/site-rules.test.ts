import { type IpAddress, type IpNetwork, parseIp, parseNetwork } from "@ckmesh/wire";
import { describe, expect, it } from "vitest";
import { offeredAddresses } from "../src/offered-addresses.js";
import { type SiteRange, siteOf } from "../src/site-rules.js";

const ip = (text: string): IpAddress => {
  const address = parseIp(text);
  if (address === undefined) throw new Error(`unreachable: ${text}`);
  return address;
};
const net = (text: string): IpNetwork => {
  const network = parseNetwork(text);
  if (network === undefined) throw new Error(`unreachable: ${text}`);
  return network;
};
const NOWHERE = { addresses: [], subnets: [] };
const RANGES: readonly SiteRange[] = [
  { label: "wide", networks: [net("10.0.0.0/8")] },
  { label: "Berlin", networks: [net("10.1.0.0/16"), net("198.51.100.0/24")] },
];

const key = (observed: string, address: string): string =>
  siteOf([], { ...NOWHERE, observed: ip(observed), addresses: [ip(address)] }).key;
const offer = (observed: string, addresses: readonly string[] = [], networks: readonly string[] = []) =>
  offeredAddresses({
    observed: ip(observed),
    addresses: addresses.map(ip),
    port: 7650,
    networks: networks.map(net),
    allowLoopback: false,
  }).map((o) => o.address);

describe("siteOf", () => {
  it("takes the ticket's site before label, network and subnet", () => {
    const where = { ...NOWHERE, ticketSite: "Rome", label: "Berlin", observed: ip("10.1.0.1") };
    expect(siteOf(RANGES, where).name).toBe("Rome");
    expect(siteOf(RANGES, { ...where, ticketSite: undefined, label: "Oslo" }).name).toBe("Oslo");
    expect(siteOf(RANGES, { ...NOWHERE, observed: ip("10.1.0.1") }).name).toBe("Berlin");
    expect(siteOf([], { ...NOWHERE, observed: ip("10.1.0.1") }).name).toBe("10.1.0.0/24");
  });

  it("gives a labelled client the networks that its label has in the configuration", () => {
    const site = siteOf(RANGES, { ...NOWHERE, label: "Berlin", observed: ip("81.2.69.1") });
    expect(site).toEqual(siteOf(RANGES, { ...NOWHERE, observed: ip("10.1.9.9") }));
    expect(site.networks).toEqual(RANGES[1]?.networks);
  });

  it("prefers the longest network, and the observed address to announced ones", () => {
    expect(siteOf(RANGES, { ...NOWHERE, observed: ip("10.2.0.1") }).name).toBe("wide");
    const where = { ...NOWHERE, observed: ip("198.51.100.7"), addresses: [ip("10.2.0.1")] };
    expect(siteOf(RANGES, where).name).toBe("Berlin");
  });

  it("does not look for announced public addresses in the configured networks", () => {
    const where = { ...NOWHERE, observed: ip("81.2.69.1"), addresses: [ip("198.51.100.7")] };
    expect(siteOf(RANGES, where).name).toBe("81.2.69.1");
  });

  it("keeps subnets behind one public address apart, and equal subnets behind different ones", () => {
    expect(key("81.2.69.1", "192.168.1.5")).toBe(key("81.2.69.1", "192.168.1.9"));
    expect(key("81.2.69.1", "192.168.1.5")).not.toBe(key("81.2.69.1", "192.168.2.5"));
    expect(key("81.2.69.1", "192.168.1.5")).not.toBe(key("81.2.69.2", "192.168.1.5"));
  });

  it("joins subnets behind one public address when a configured network does", () => {
    const ranges = [{ label: "campus", networks: [net("192.168.0.0/16")] }];
    const name = (address: string) =>
      siteOf(ranges, { ...NOWHERE, observed: ip("81.2.69.1"), addresses: [ip(address)] }).name;
    expect([name("192.168.1.5"), name("192.168.2.5")]).toEqual(["campus", "campus"]);
  });

  it("takes the announced subnet around the address unless it is wider than a LAN", () => {
    const name = (subnet: string) =>
      siteOf([], { observed: ip("10.1.5.5"), addresses: [], subnets: [net(subnet)] }).name;
    expect(name("10.1.0.0/20")).toBe("10.1.0.0/20");
    expect(name("10.0.0.0/8")).toBe("10.1.5.0/24");
    expect(name("10.9.0.0/16")).toBe("10.1.5.0/24");
    expect(siteOf([], { ...NOWHERE, observed: ip("fd00:1:2:3::9") }).name).toBe("fd00:1:2:3::/64");
    expect(siteOf([], { ...NOWHERE, observed: ip("2a00:1:2:3::9") }).name).toBe("2a00:1:2:3::/64");
  });

  it("cannot be led into a derived site by a label", () => {
    const derived = siteOf([], { ...NOWHERE, observed: ip("10.1.0.1") });
    const labelled = siteOf([], { ...NOWHERE, label: derived.name, observed: ip("81.2.69.1") });
    expect(labelled.key).not.toBe(derived.key);
  });
});

describe("offeredAddresses", () => {
  it("hands out the observed address and announced private ones", () => {
    expect(offer("81.2.69.1", ["192.168.1.5", "fd00::5"])).toEqual(["81.2.69.1", "192.168.1.5", "fd00::5"]);
  });

  it("never hands out announced addresses that are public, link-local, multicast or loopback", () => {
    const announced = ["8.8.8.8", "169.254.169.254", "224.0.0.1", "127.0.0.1", "fe80::1", "::1", "0.0.0.0"];
    expect(offer("10.0.0.1", announced)).toEqual(["10.0.0.1"]);
  });

  it("hands out only what lies in the site's networks", () => {
    expect(offer("81.2.69.1", ["10.1.0.5", "192.168.1.5"], ["10.1.0.0/16"])).toEqual(["10.1.0.5"]);
    expect(offer("81.2.69.1", [], ["10.1.0.0/16"])).toEqual([]);
  });

  it("hands out a loopback address only where it is allowed", () => {
    const input = { observed: ip("127.0.0.1"), addresses: [ip("10.0.0.1")], port: 4242, networks: [] };
    expect(offeredAddresses({ ...input, allowLoopback: false })).toEqual([]);
    expect(offeredAddresses({ ...input, allowLoopback: true })).toEqual([
      { address: "127.0.0.1", port: 4242 },
    ]);
  });

  it("hands out nothing of a client that no peer can reach or whose port is a system service's", () => {
    const input = { observed: ip("10.0.0.1"), addresses: [], networks: [], allowLoopback: false };
    expect([0, 22, 1023].flatMap((port) => offeredAddresses({ ...input, port }))).toEqual([]);
    expect(offeredAddresses({ ...input, port: 1024 })).toHaveLength(1);
  });

  it("hands out at most 3 addresses of one client", () => {
    expect(offer("10.0.0.1", ["10.0.0.2", "10.0.0.3", "10.0.0.4"])).toHaveLength(3);
  });
});
