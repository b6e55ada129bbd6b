import {
  formatNetwork,
  isHostIp,
  isPrivateIp,
  networkContains,
  networkOf,
  parseIp,
  parseNetwork,
} from "@ckmesh/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

const ip = (text: string) => {
  const address = parseIp(text);
  if (address === undefined) throw new Error(`unreachable: ${text}`);
  return address;
};
const net = (text: string) => {
  const network = parseNetwork(text);
  if (network === undefined) throw new Error(`unreachable: ${text}`);
  return network;
};

describe("IP literals", () => {
  it("refuses shorthand, octal, zones, names and junk", () => {
    expect(
      ["127.1", "1", "010.0.0.1", "fe80::1%eth0", "localhost", "", "1.2.3.4.5", "::g", "1.2.3.4 "].filter(
        (text) => parseIp(text) !== undefined,
      ),
    ).toEqual([]);
  });

  it("unfolds IPv4-mapped addresses", () => {
    expect(ip("::ffff:10.1.2.3").toString()).toBe("10.1.2.3");
  });

  it("tells private and host addresses from the rest", () => {
    expect(["10.0.0.1", "172.31.255.255", "192.168.0.1", "fd00::1"].map((t) => isPrivateIp(ip(t)))).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(["172.32.0.1", "8.8.8.8", "fe80::1", "127.0.0.1"].map((t) => isPrivateIp(ip(t)))).toEqual([
      false,
      false,
      false,
      false,
    ]);
    expect(
      [
        "127.0.0.1",
        "::1",
        "169.254.169.254",
        "fe80::1",
        "224.0.0.1",
        "ff02::1",
        "0.0.0.0",
        "255.255.255.255",
      ].filter((bad) => isHostIp(ip(bad))),
    ).toEqual([]);
    expect(["8.8.8.8", "2a00::1", "100.64.0.1", "192.168.1.1"].filter((good) => !isHostIp(ip(good)))).toEqual(
      [],
    );
  });
});

describe("networks", () => {
  it("clears host bits and contains its own kind only", () => {
    expect(formatNetwork(net("10.1.2.3/20"))).toBe("10.1.0.0/20");
    expect(networkContains(net("10.1.0.0/20"), ip("10.1.15.255"))).toBe(true);
    expect(networkContains(net("10.1.0.0/20"), ip("10.1.16.0"))).toBe(false);
    expect(networkContains(net("0.0.0.0/0"), ip("fd00::1"))).toBe(false);
    expect(networkContains(net("fd00::/8"), ip("fdff::1"))).toBe(true);
  });

  it("refuses what is no network", () => {
    expect(
      ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "fd00::/129", "/8", "10.0.0.0/-1", "10.0.0.0/8/8"].filter(
        (text) => parseNetwork(text) !== undefined,
      ),
    ).toEqual([]);
  });

  it("contains the address it was made of, whatever the length", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), (text, length) => {
        const network = networkOf(ip(text), length);
        expect(networkContains(network, ip(text))).toBe(true);
        expect(parseNetwork(formatNetwork(network))).toEqual(network);
      }),
    );
    fc.assert(
      fc.property(fc.ipV6(), fc.integer({ min: 0, max: 128 }), (text, length) => {
        const address = ip(text);
        fc.pre(address.kind() === "ipv6");
        expect(networkContains(networkOf(address, length), address)).toBe(true);
      }),
    );
  });
});
