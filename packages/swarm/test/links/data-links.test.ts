import { beforeEach, describe, expect, it } from "vitest";
import { MAX_DATA_LINKS, SOURCE_MS, SOURCE_ROTATE_MS } from "../../src/constants.js";
import { DataLinks } from "../../src/links/data-links.js";
import { Link } from "../../src/links/link.js";
import { peerUp } from "../peer-up.js";

let sources: DataLinks;

function peer(n: number, rate = 1000): Link {
  const link = new Link(peerUp(n), 10, 0);
  link.rate = rate;
  link.isUnchoked = true;
  return link;
}
/** Ten sources; the first is the slowest. */
function full(): Link[] {
  const links = Array.from({ length: MAX_DATA_LINKS }, (_, n) => peer(n, 1000 + n));
  for (const link of links) expect(sources.admits(link, 0)).toBe(true);
  return links;
}

beforeEach(() => {
  sources = new DataLinks();
});

describe("DataLinks", () => {
  it("takes ten links, and an eleventh as soon as one of them is released", () => {
    const [first] = full();
    const eleventh = peer(10);
    expect(sources.admits(eleventh, 1)).toBe(false);
    if (first !== undefined) sources.release(first);
    expect(sources.admits(eleventh, 2)).toBe(true);
    expect(sources.size).toBe(MAX_DATA_LINKS);
  });

  it("gives the slowest one's place to the only peer that has a row, after a second", () => {
    const [slowest] = full();
    const candidates = [{ link: peer(10, 1), isOnly: true }];
    expect(sources.review(candidates, SOURCE_MS - 1)).toEqual([]);
    expect(sources.review(candidates, SOURCE_MS)).toEqual([slowest]);
  });

  it("gives it to a faster or unknown peer when its turn has come, and to a slower one never", () => {
    const [slowest] = full();
    sources.review([], 0);
    expect(sources.review([{ link: peer(10, 1), isOnly: false }], 10 * SOURCE_ROTATE_MS)).toEqual([]);
    const unknown = [{ link: peer(11, 0), isOnly: false }];
    expect(sources.review(unknown, 10 * SOURCE_ROTATE_MS)).toEqual([slowest]);
    expect(sources.admits(peer(11, 0), 10 * SOURCE_ROTATE_MS)).toBe(true);
    expect(sources.review(unknown, 11 * SOURCE_ROTATE_MS - 1)).toEqual([]);
  });

  it("lets who does not serve us go before the slowest", () => {
    const links = full();
    const choked = links[5];
    if (choked !== undefined) choked.isUnchoked = false;
    expect(sources.review([{ link: peer(10, 0), isOnly: true }], SOURCE_MS)).toEqual([choked]);
  });

  it("keeps the place of one that gives way until what it was asked has come", () => {
    const [slowest] = full();
    if (slowest === undefined) throw new Error("there are ten");
    slowest.ask({ first: 0, count: 1 }, 100, 0);
    const candidates = [{ link: peer(10), isOnly: true }];
    expect(sources.review(candidates, SOURCE_MS)).toEqual([]);
    expect(sources.admits(slowest, SOURCE_MS)).toBe(false);
    expect(sources.size).toBe(MAX_DATA_LINKS);
    slowest.settle(0);
    expect(sources.review(candidates, SOURCE_MS + 1)).toEqual([slowest]);
  });
});
