import type { NetworkInterfaceInfo } from "node:os";
import { describe, expect, it } from "vitest";
import { ownNetworks } from "../../src/peers/own-networks.js";

const ipv4 = (address: string, bits: number): NetworkInterfaceInfo => ({
  address,
  cidr: `${address}/${bits}`,
  netmask: "",
  family: "IPv4",
  mac: "00:00:00:00:00:00",
  internal: address.startsWith("127."),
});

describe("ownNetworks", () => {
  it("names the addresses and subnets of the interfaces, those of virtual bridges last", () => {
    const found = ownNetworks(false, {
      docker0: [ipv4("172.17.0.1", 16)],
      eth0: [ipv4("10.1.2.3", 24)],
      lo: [ipv4("127.0.0.1", 8)],
    });
    expect(found).toEqual({
      addresses: ["10.1.2.3", "172.17.0.1"],
      subnets: ["10.1.2.0/24", "172.17.0.0/16"],
    });
  });

  it.each([
    "tun0",
    "wg0",
    "utun4",
    "ppp0",
    "tailscale0",
    "Company VPN",
    "OpenVPN TAP-Windows6",
    "WireGuard Tunnel",
  ])("leaves out the tunnel %s: who is in it is far away", (name) => {
    const { subnets } = ownNetworks(false, { [name]: [ipv4("10.8.0.2", 24)], eth0: [ipv4("10.1.2.3", 24)] });
    expect(subnets).toEqual(["10.1.2.0/24"]);
  });

  it.each(["eth0", "enp3s0", "wlan0", "Ethernet 2", "tunis0"])("keeps %s", (name) => {
    expect(ownNetworks(false, { [name]: [ipv4("10.8.0.2", 24)] }).subnets).toEqual(["10.8.0.0/24"]);
  });

  it("takes loopback only where that is asked for", () => {
    const lo = { lo: [ipv4("127.0.0.1", 8)] };
    expect(ownNetworks(false, lo).subnets).toEqual([]);
    expect(ownNetworks(true, lo).subnets).toEqual(["127.0.0.0/8"]);
  });
});
