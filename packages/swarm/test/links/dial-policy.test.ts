import { seededRandom } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { MAX_NEW_ADDRESSES_PER_MINUTE } from "../../src/constants.js";
import { DialPolicy } from "../../src/links/dial-policy.js";
import { Dialer } from "../../src/links/dialer.js";

const policy = new DialPolicy({
  own: ["192.168.7.0/24", "fd00:1::/64", "203.0.113.0/24"],
  site: ["10.20.0.0/16", "8.8.8.0/24"],
  allowLoopback: false,
  peerPort: 650,
});

const dialer = (): Dialer => {
  const d = new Dialer({ allowLoopback: false, peerPort: 7650 }, seededRandom(1));
  d.setNetworks(["10.0.0.0/16"], []);
  return d;
};
const peers = (n: number): { address: string; port: number }[] =>
  Array.from({ length: n }, (_, i) => ({
    address: `10.0.${Math.floor(i / 200)}.${(i % 200) + 1}`,
    port: 7650,
  }));

describe("DialPolicy", () => {
  it.each([
    ["192.168.7.9", 7650],
    ["192.168.7.9", 650],
    ["10.20.3.4", 50_000],
    ["fd00:1::5", 7650],
    ["203.0.113.5", 7650],
  ])("admits %s port %i", (address, port) => {
    expect(policy.admits({ address, port })).toBe(true);
  });

  it.each([
    ["192.168.8.9", 7650, "another subnet"],
    ["8.8.8.8", 7650, "a public address, even in a named site network"],
    ["127.0.0.1", 7650, "loopback"],
    ["::1", 7650, "loopback"],
    ["::ffff:127.0.0.1", 7650, "mapped loopback"],
    ["169.254.169.254", 7650, "link-local metadata"],
    ["fe80::1", 7650, "link-local"],
    ["224.0.0.1", 7650, "multicast"],
    ["255.255.255.255", 7650, "broadcast"],
    ["192.168.7.255", 7650, "the subnet's broadcast"],
    ["0.0.0.0", 7650, "unspecified"],
    ["192.168.7.9", 80, "a privileged port"],
    ["192.168.7.9", 0, "no port"],
    ["192.168.7.9", 70_000, "no port"],
    ["peer.example", 7650, "a name"],
    ["192.168.1799", 7650, "a short form"],
    ["0xc0a80709", 7650, "a hexadecimal form"],
  ])("refuses %s port %i: %s", (address, port) => {
    expect(policy.admits({ address, port })).toBe(false);
  });

  it("knows own subnets, whose peers need no proof of nearness", () => {
    expect(policy.isOwnSubnet("192.168.7.200")).toBe(true);
    expect(policy.isOwnSubnet("10.20.0.1")).toBe(false);
  });
});

describe("Dialer", () => {
  it("dials at most five addresses a second", () => {
    const d = dialer();
    d.add(peers(20), 0);
    expect(d.due(0, 24)).toHaveLength(5);
    expect(d.due(500, 24)).toHaveLength(0);
    expect(d.due(1000, 24).length).toBeGreaterThan(0);
  });

  it("waits longer after each failure, up to ten minutes", () => {
    const d = dialer();
    d.add(peers(1), 0);
    const gaps: number[] = [];
    for (let now = 0, last = 0; gaps.length < 14; now += 500) {
      for (const peer of d.due(now, 24)) {
        gaps.push(now - last);
        last = now;
        d.failed(peer, now);
      }
    }
    expect(gaps[2] ?? 0).toBeGreaterThan(gaps[1] ?? 0);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(1.5 * 600_000 + 500);
  });

  it("takes at most fifty new addresses a minute from one peer", () => {
    const d = dialer();
    d.add(peers(200), 0, "talkative");
    let dialled = 0;
    for (let now = 0; now < 50_000; now += 250) {
      for (const peer of d.due(now, 1000)) {
        dialled += 1;
        d.connected({ ...peer, peerId: "00".repeat(32) }, now);
      }
    }
    expect(dialled).toBe(MAX_NEW_ADDRESSES_PER_MINUTE);
  });

  it("has an answer of an address once it was tried, and of one that may not be", () => {
    const d = dialer();
    d.add(peers(2), 0);
    const [a, b] = d.due(0, 24);
    if (a === undefined || b === undefined) throw new Error("two addresses are due");
    expect([a, b].map((peer) => d.hasAnswered(peer))).toEqual([false, false]);
    d.failed(a, 10);
    d.connected({ ...b, peerId: "00".repeat(32) }, 10);
    expect([a, b].map((peer) => d.hasAnswered(peer))).toEqual([true, true]);
    expect(d.hasAnswered({ address: "8.8.8.8", port: 7650 })).toBe(true);
  });
});
