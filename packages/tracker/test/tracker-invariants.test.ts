import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { helloOf, OPEN, Rig } from "./tracker-rig.js";

interface Connected {
  readonly id: number;
  readonly address: string;
  readonly site: string;
}

const action = fc.oneof(
  fc.record({ do: fc.constant("join" as const), c: fc.nat(9), net: fc.nat(2), site: fc.nat(2) }),
  fc.record({ do: fc.constant("announce" as const), c: fc.nat(9), s: fc.nat(2) }),
  fc.record({ do: fc.constant("leave" as const), c: fc.nat(9), s: fc.nat(2) }),
  fc.record({ do: fc.constant("close" as const), c: fc.nat(9) }),
  fc.record({ do: fc.constant("pass" as const), ms: fc.nat(100_000) }),
);

const swarmOf = (n: number): Uint8Array => new Uint8Array(32).fill(n);

describe("whatever happens", () => {
  it("the machine names only live peers of the same site, and forgets what is gone", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
        const rig = new Rig(OPEN);
        const connected = new Map<number, Connected>();
        const wrong: string[] = [];
        let lastId = 100;
        for (const a of actions) {
          if (a.do === "pass") {
            rig.pass(a.ms);
            continue;
          }
          const peer = connected.get(a.c);
          if (a.do === "join" && peer === undefined) {
            lastId += 1;
            const joined = { id: lastId, address: `10.0.${a.net}.${a.c + 1}`, site: `site-${a.site}` };
            connected.set(a.c, joined);
            rig.join(joined.id, joined.address, helloOf(a.c, { site: joined.site }));
          } else if (a.do === "close" && peer !== undefined) {
            rig.step({ type: "closed", connection: peer.id });
            connected.delete(a.c);
          } else if (a.do === "leave" && peer !== undefined) {
            rig.say(peer.id, { type: "leave", swarm: swarmOf(a.s) });
          } else if (a.do === "announce" && peer !== undefined) {
            rig.announce(peer.id, swarmOf(a.s));
            const others = [...connected.values()].filter((o) => o !== peer && o.site === peer.site);
            const known = new Set(others.map((o) => o.address));
            wrong.push(...rig.peersOf(peer.id).filter((address) => !known.has(address)));
          }
        }
        expect(wrong).toEqual([]);
        expect(rig.machine.peerCount).toBe(connected.size);
        for (const { id } of connected.values()) rig.step({ type: "closed", connection: id });
        expect([rig.machine.peerCount, rig.machine.swarmCount]).toEqual([0, 0]);
      }),
      { numRuns: 200 },
    );
  });
});
