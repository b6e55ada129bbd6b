import { beforeEach, describe, expect, it } from "vitest";
import { MIN_GOSSIP_MS, SETTLE_LISTED_MS, SETTLE_MS } from "../src/constants.js";
import { Link } from "../src/links/link.js";
import { Settling } from "../src/settling.js";

const HEARD_MS = 2 * MIN_GOSSIP_MS;
const peer = (n: number): { address: string; port: number } => ({ address: `10.0.0.${n}`, port: 7650 });

let links: Link[];
let answered: Set<string>;
let settling: Settling;

function link(n: number, upAt: number): Link {
  const about = { peerId: String(n).repeat(64), inbound: true, peerClass: "wired", rttMs: 1 } as const;
  const made = new Link({ type: "peer-up", link: n, ...peer(n), ...about }, 10, upAt);
  links.push(made);
  answered.add(peer(n).address);
  return made;
}

beforeEach(() => {
  links = [];
  answered = new Set();
  const context = {
    links: () => links,
    gossipMs: () => MIN_GOSSIP_MS,
    hasAnswered: ({ address }: { address: string }) => answered.has(address),
  };
  settling = new Settling(context, false, 0);
});

function isSettledAt(now: number): boolean {
  settling.run(now);
  return settling.isSettled;
}

describe("Settling", () => {
  it("takes a fixed time without a tracker", () => {
    expect(isSettledAt(SETTLE_MS - 1)).toBe(false);
    expect(isSettledAt(SETTLE_MS)).toBe(true);
  });

  it("is over at once for the first who comes to the tracker", () => {
    settling.listed([]);
    expect(isSettledAt(HEARD_MS - 1)).toBe(false);
    expect(isSettledAt(HEARD_MS)).toBe(true);
  });

  it("waits for everybody on the first list, and for what they say and relay", () => {
    settling.listed([peer(1), peer(2)]);
    const first = link(1, 100);
    expect(isSettledAt(500)).toBe(false);
    link(2, 500).hasGreeted = true;
    expect(isSettledAt(500 + HEARD_MS)).toBe(false);
    first.hasGreeted = true;
    expect(isSettledAt(501 + HEARD_MS)).toBe(true);
  });

  it("waits longer, but not for ever, for somebody whom the tracker named", () => {
    settling.listed([peer(1)]);
    expect(isSettledAt(SETTLE_LISTED_MS - 1)).toBe(false);
    expect(isSettledAt(SETTLE_LISTED_MS)).toBe(true);
  });

  it("does not wait for those who came later", () => {
    settling.listed([peer(1)]);
    settling.listed([peer(1), peer(3)]);
    link(1, 100).hasGreeted = true;
    link(2, 199);
    expect(isSettledAt(100 + HEARD_MS)).toBe(true);
  });

  it("does not wait for an address that does not answer", () => {
    settling.listed([peer(1)]);
    answered.add(peer(1).address);
    expect(isSettledAt(HEARD_MS)).toBe(true);
  });

  it("is none where nobody is expected", () => {
    const alone = new Settling(
      { links: () => [], gossipMs: () => MIN_GOSSIP_MS, hasAnswered: () => false },
      true,
      0,
    );
    expect(alone.isSettled).toBe(true);
  });
});
