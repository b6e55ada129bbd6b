import { Bitfield, type Run } from "@ckmesh/core";
import { peerIdPrefix } from "@ckmesh/wire";
import { beforeEach, describe, expect, it } from "vitest";
import { HAVE_INTERVAL_MS, KNOWN_HAVE_MS, SECOND_HAND_MS } from "../../src/constants.js";
import { Link } from "../../src/links/link.js";
import { HaveGossip } from "../../src/rows/have-gossip.js";
import { RowTable } from "../../src/rows/row-table.js";
import type { LinkId, SwarmEffect } from "../../src/swarm-messages.js";
import { peerUp } from "../peer-up.js";

const ROWS = 100;
const id = (n: number): string => n.toString(16).padStart(2, "0").repeat(32);

let links: Map<LinkId, Link>;
let sent: SwarmEffect[];
let gossip: HaveGossip;

function link(n: number): Link {
  const made = new Link(peerUp(n, { peerId: id(n) }), ROWS, 0);
  links.set(n, made);
  return made;
}
/** The links that were told since the last call, each with its runs. */
function told(): Record<number, readonly Run[]> {
  const runs: Record<number, readonly Run[]> = {};
  for (const effect of sent.splice(0)) {
    if (effect.type === "send" && effect.message.type === "have") runs[effect.link] = effect.message.runs;
  }
  return runs;
}
function runUntil(from: number, to: number): void {
  for (let now = from; now <= to; now += 50) gossip.flush(now);
}

beforeEach(() => {
  links = new Map();
  sent = [];
  const sections = [{ lengths: new Uint32Array(ROWS).fill(1000), wanted: true }];
  const table = new RowTable(ROWS, sections, Bitfield.full(ROWS), { first: 0, count: 1 });
  gossip = new HaveGossip(table, links, (effect) => void sent.push(effect));
});

describe("HaveGossip", () => {
  it("tells rows from the origin to everybody who lacks them, once per interval", () => {
    link(1);
    link(2).bits.add(5);
    gossip.gained([{ first: 5, count: 1 }], 0);
    gossip.gained([{ first: 6, count: 1 }], 10);
    gossip.flush(HAVE_INTERVAL_MS - 1);
    expect(told()).toEqual({});
    gossip.flush(HAVE_INTERVAL_MS);
    expect(told()).toEqual({ 1: [{ first: 5, count: 2 }], 2: [{ first: 5, count: 2 }] });
  });

  it("tells a peer that holds the rows itself later", () => {
    link(1).bits.add(5);
    gossip.gained([{ first: 5, count: 1 }], 0);
    runUntil(0, KNOWN_HAVE_MS);
    expect(told()).toEqual({});
    runUntil(KNOWN_HAVE_MS, KNOWN_HAVE_MS + 2 * HAVE_INTERVAL_MS);
    expect(told()).toEqual({ 1: [{ first: 5, count: 1 }] });
    expect(gossip.flush(KNOWN_HAVE_MS + 3 * HAVE_INTERVAL_MS)).toBe(Number.POSITIVE_INFINITY);
  });

  it("lets the source tell its own neighbours, and tells those who still lack the rows a second later", () => {
    const source = link(1);
    source.bits.add(5);
    for (const n of [2, 3]) link(n).neighbours = new Set([peerIdPrefix(source.peerId)]);
    link(4);
    gossip.gained([{ first: 5, count: 1 }], 0, source);
    runUntil(0, HAVE_INTERVAL_MS);
    expect(Object.keys(told())).toEqual(["4"]);
    links.get(2)?.bits.add(5);
    runUntil(HAVE_INTERVAL_MS, SECOND_HAND_MS + 2 * HAVE_INTERVAL_MS);
    expect(Object.keys(told())).toEqual(["3"]);
  });

  it("takes along what was held back when there is news", () => {
    link(1).bits.add(5);
    gossip.gained([{ first: 5, count: 1 }], 0);
    runUntil(0, 1000);
    gossip.gained([{ first: 9, count: 1 }], 1000);
    runUntil(1000, 1000 + 2 * HAVE_INTERVAL_MS);
    expect(told()).toEqual({
      1: [
        { first: 5, count: 1 },
        { first: 9, count: 1 },
      ],
    });
  });

  it("tells a peer that lost rows at once who has them", () => {
    const peer = link(1);
    gossip.needs(peer, [{ first: 7, count: 3 }], 0);
    expect(told()).toEqual({ 1: [{ first: 7, count: 3 }] });
  });

  it("says nothing to a peer that holds everything", () => {
    link(1).bits = Bitfield.full(ROWS);
    gossip.gained([{ first: 5, count: 1 }], 0);
    runUntil(0, 2 * KNOWN_HAVE_MS);
    expect(sent).toEqual([]);
  });
});
