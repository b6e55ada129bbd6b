import { KIB, MIB } from "@ckmesh/core";
import { expect, it } from "vitest";
import { Link } from "../../src/links/link.js";
import { peerUp } from "../peer-up.js";

/** A link whose peer answered at a rate, bytes per second. */
function linkAt(rate: number): Link {
  const link = new Link(peerUp(1), 10, 0);
  link.rate = rate;
  return link;
}

it("asks for half a MiB at a time before a peer's rate is known", () => {
  expect(linkAt(0).requestBytes).toBe(512 * KIB);
});

it("asks for no more than a slow peer sends in a tenth of a second, and half a MiB of a fast one", () => {
  expect(linkAt(1_000_000).requestBytes).toBe(100_000);
  expect(linkAt(50 * MIB - 1).requestBytes).toBe(512 * KIB);
});

it("asks for the most that the wire allows where that takes no more than 20 ms", () => {
  expect(linkAt(50 * MIB).requestBytes).toBe(MIB);
});

it("keeps the window and the request that passes it within the 8 MiB that a peer lets wait", () => {
  const link = linkAt(1000 * MIB);
  expect(link.window - 1 + link.requestBytes).toBeLessThan(8 * MIB);
});
