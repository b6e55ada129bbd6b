import { seededRandom } from "@ckmesh/core";
import { peerIdPrefix } from "@ckmesh/wire";
import { beforeEach, describe, expect, it } from "vitest";
import { MAX_LEAVING, MAX_LINKS, NEAR_DIAL_MS, NEAR_LINKS, RANDOM_REFRESH_MS } from "../../src/constants.js";
import { Link } from "../../src/links/link.js";
import { Overlay } from "../../src/links/overlay.js";
import type { LinkId } from "../../src/swarm-messages.js";
import { peerUp } from "../peer-up.js";

const SELF = 1_000_000;
const peerId = (n: number): string => n.toString(16).padStart(16, "0").padEnd(64, "0");
let links: Map<LinkId, Link>;
let busy: Set<Link>;
let overlay: Overlay;

function link(n: number, address = `10.0.${n >> 8}.${n & 255}`): Link {
  return new Link(peerUp(n, { peerId: peerId(n), address }), 10, 0);
}
/** A full machine whose links are all far away in id order: every hundredth id from 100 on. */
function full(): void {
  for (let n = 1; n <= MAX_LINKS; n++) links.set(100 * n, link(100 * n));
}

beforeEach(() => {
  links = new Map();
  busy = new Set();
  const isBusy = (one: Link): boolean => busy.has(one);
  const random = seededRandom(1);
  overlay = new Overlay({ peerId: peerId(SELF), allowLoopback: false, random, links, isBusy }, 0);
});

describe("Overlay", () => {
  it("gives the place of a random link to a near peer, of the best connected one", () => {
    full();
    const known = links.get(1200);
    if (known !== undefined) known.neighbours = new Set([peerIdPrefix(peerId(1)), peerIdPrefix(peerId(2))]);
    expect(overlay.placeFor(link(SELF + 1), 0)?.id).toBe(1200);
  });

  it("has no place for a peer that is not near", () => {
    full();
    expect(overlay.placeFor(link(1250), 0)).toBeUndefined();
  });

  it("never gives up a link over which rows move", () => {
    full();
    for (const one of links.values()) busy.add(one);
    expect(overlay.placeFor(link(SELF + 1), 0)).toBeUndefined();
  });

  it("lets few links go at a time", () => {
    full();
    for (let n = 0; n < MAX_LEAVING; n++) {
      const spared = overlay.placeFor(link(SELF + 1 + n), 0);
      if (spared !== undefined) spared.leavesAt = 1;
    }
    expect(overlay.placeFor(link(SELF + 50), 0)).toBeUndefined();
  });

  it("counts an address as near once, whatever ids come from it", () => {
    full();
    for (let n = 1; n <= NEAR_LINKS; n++) links.set(n, link(SELF + n, "10.0.9.9"));
    const honest = [link(SELF + 100), link(SELF + 200)];
    for (const one of honest) expect(overlay.placeFor(one, 0)).toBeDefined();
  });

  it("leaves half of the places to random links, however many ids are invented around it", () => {
    full();
    for (let n = 1; n <= 40; n++) {
      const spared = overlay.placeFor(link(SELF + n, `10.0.9.${n}`), 0);
      if (spared === undefined) continue;
      links.delete(spared.id);
      links.set(SELF + n, link(SELF + n, `10.0.9.${n}`));
    }
    const random = [...links.keys()].filter((n) => n <= 100 * MAX_LINKS);
    expect(random.length).toBeGreaterThanOrEqual(MAX_LINKS - NEAR_LINKS);
  });

  it("dials nobody at an address to which there is a link", () => {
    full();
    const hinted = [
      { address: "10.0.1.44", port: 7651, id: peerIdPrefix(peerId(SELF + 1)) },
      { address: "10.0.9.9", port: 7650, id: peerIdPrefix(peerId(SELF + 2)) },
      { address: "10.0.9.10", port: 7650, id: peerIdPrefix(peerId(1250)) },
    ];
    expect(overlay.nearer(hinted).map(({ address }) => address)).toEqual(["10.0.9.9"]);
  });

  it("dials a nearer peer at most every few seconds, and lets a random link go every few minutes", () => {
    full();
    let [dials, gone] = [0, 0];
    for (let now = 0; now < 3_600_000; now += 1000) {
      dials += Number(overlay.takeNearDial(now));
      gone += Number(overlay.stale(now) !== undefined);
    }
    expect(dials).toBeLessThanOrEqual(3_600_000 / (0.5 * NEAR_DIAL_MS));
    expect(gone).toBeGreaterThanOrEqual(3_600_000 / (1.5 * RANDOM_REFRESH_MS + 1000) - 1);
    expect(gone).toBeLessThanOrEqual(3_600_000 / (0.5 * RANDOM_REFRESH_MS));
  });
});
