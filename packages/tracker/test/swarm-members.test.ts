import { seededRandom } from "@ckmesh/core";
import { MAX_PEERS_PER_ANSWER } from "@ckmesh/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Member, SwarmMembers } from "../src/swarm-members.js";

function member(connection: number, offers = 1, publicAddress = ""): Member {
  return {
    connection,
    peerId: String(connection),
    offers: Array.from({ length: offers }, (_, i) => ({
      address: `10.${i}.${connection >> 8}.${connection & 255}`,
      port: 7650,
    })),
    publicAddress,
  };
}

const random = seededRandom(1);

describe("SwarmMembers", () => {
  it("lists all others, and says so, up to 50", () => {
    const swarm = new SwarmMembers();
    const members = Array.from({ length: 51 }, (_, i) => member(i));
    for (const m of members) swarm.announce(m, 0);
    for (const m of members) {
      const { peers, complete } = swarm.listFor(m, random, 0);
      expect(peers).toHaveLength(50);
      expect(new Set(peers.map((p) => p.address)).has(m.offers[0]?.address ?? "")).toBe(false);
      expect(complete).toBe(true);
    }
    swarm.announce(member(51), 0);
    expect(swarm.listFor(member(0), random, 0).complete).toBe(false);
  });

  it("draws everybody about equally often from a large swarm", () => {
    const swarm = new SwarmMembers();
    for (let i = 0; i < 500; i += 1) swarm.announce(member(i), 0);
    const drawn = new Map<string, number>();
    for (let i = 0; i < 1_000; i += 1) {
      for (const { address } of swarm.listFor(member(999, 0), random, 0).peers) {
        drawn.set(address, (drawn.get(address) ?? 0) + 1);
      }
    }
    // 1,000 lists of 50 out of 500: 100 each.
    expect(drawn.size).toBe(500);
    expect(Math.max(...drawn.values())).toBeLessThan(150);
    expect(Math.min(...drawn.values())).toBeGreaterThan(60);
  });

  it("names one address of each before the second of any", () => {
    const swarm = new SwarmMembers();
    for (let i = 0; i < 40; i += 1) swarm.announce(member(i, 2), 0);
    const { peers, complete } = swarm.listFor(member(99, 0), random, 0);
    expect(peers).toHaveLength(50);
    expect(new Set(peers.slice(0, 40).map((p) => p.address.split(".").slice(2).join("."))).size).toBe(40);
    expect(complete).toBe(false);
  });

  it("leaves out the public address that receiver and peer share", () => {
    const swarm = new SwarmMembers();
    const [a, b] = ["81.2.69.1", "81.2.69.2"];
    const peer: Member = {
      connection: 1,
      peerId: "1",
      offers: [a, "192.168.1.5"].map((address) => ({ address, port: 7650 })),
      publicAddress: a,
    };
    swarm.announce(peer, 0);
    const seenBy = (publicAddress: string) =>
      swarm.listFor(member(2, 0, publicAddress), random, 0).peers.map((p) => p.address);
    expect(seenBy(a)).toEqual(["192.168.1.5"]);
    expect(seenBy(b)).toEqual([a, "192.168.1.5"]);
  });

  it("keeps remembered peers until they are back or their time is over", () => {
    const swarm = new SwarmMembers();
    swarm.remember("7", member(7).offers, 1_000);
    swarm.remember("8", member(8).offers, 1_000);
    const addresses = (now: number) => swarm.listFor(member(1), random, now).peers.map((p) => p.address);
    expect(addresses(999).toSorted()).toEqual(["10.0.0.7", "10.0.0.8"]);
    expect(swarm.listFor(member(1), random, 999).complete).toBe(false);
    swarm.announce(member(7), 500);
    expect(addresses(999).toSorted()).toEqual(["10.0.0.7", "10.0.0.8"]);
    expect(addresses(1_000)).toEqual(["10.0.0.7"]);
    swarm.expire(0, 1_000);
    swarm.remove(7);
    expect(swarm.isEmpty).toBe(true);
  });

  it("holds exactly those who came and did not leave, whatever the order", () => {
    const step = fc.record({ id: fc.nat(30), isDialable: fc.boolean(), joins: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const swarm = new SwarmMembers();
        const model = new Map<number, boolean>();
        for (const { id, isDialable, joins } of steps) {
          if (joins && !model.has(id)) model.set(id, isDialable);
          else if (!joins) model.delete(id);
          if (joins) swarm.announce(member(id, isDialable ? 1 : 0), 0);
          else swarm.remove(id);
        }
        expect(swarm.size).toBe(model.size);
        const listed = swarm.listFor(member(999, 0), random, 0).peers.map((p) => p.address);
        const dialable = [...model].filter(([, d]) => d).map(([id]) => `10.0.0.${id}`);
        expect(listed.toSorted()).toEqual(dialable.toSorted());
        expect(listed.length).toBeLessThanOrEqual(MAX_PEERS_PER_ANSWER);
      }),
    );
  });
});
