import { Bitfield } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { type SimImage, SimSite, simImage, startUpdating, type UpdateSource } from "../src/index.js";
import { MIB, starts, WAN } from "./scenario.js";

const image = simImage(64 * MIB);
const frames = image.lengths.length - image.pieces;
/** Of the frames of the new version, those that the older one has too, and those that the delta does not yield. */
const KEPT = Math.floor(frames * 0.8);
const PLAIN = 4;

/** A delta whose frames take 16 KiB each, with so many pieces of its index. */
function deltaImage(pieces: number): SimImage {
  const lengths = new Uint32Array(pieces + frames - KEPT - PLAIN).fill(16_384);
  lengths.fill(65_536, 0, pieces);
  lengths[0] = 4096;
  return { lengths, pieces, bytes: lengths.reduce((a, b) => a + b, 0) };
}

function source(): UpdateSource {
  const local = new Bitfield(image.lengths.length);
  local.addRun({ first: image.pieces, count: KEPT });
  const first = image.pieces + KEPT;
  return { local, yields: Array.from({ length: frames - KEPT - PLAIN }, (_, k) => first + k) };
}

/** The site, and the swarm of the delta in it. */
function pair(wan = WAN, pieces = 2): { readonly site: SimSite; readonly deltas: SimSite } {
  const site = new SimSite({ image, seed: 1, wan });
  return { site, deltas: new SimSite({ image: deltaImage(pieces), seed: 2, wan, clock: site.clock }) };
}

const indexBytes = image.lengths.subarray(0, image.pieces).reduce((a, b) => a + b, 0);
/** What has to cross the WAN beside the delta. */
const plainBytes = indexBytes + PLAIN * 65_536;

describe("a site pays for one delta, the index and frames that the delta does not yield", () => {
  it.each([
    [1, 0],
    [3, 3],
    [1, 9],
    [9, 1],
    [10, 10],
  ])("%i with the older version, %i that hold nothing", (updating, cold) => {
    const { site, deltas } = pair();
    for (let i = 0; i < updating; i++) startUpdating(site, deltas, source());
    starts(site, cold);
    expect(site.run(120_000)).toBe(true);
    expect((site.wan.bytes + deltas.wan.bytes) / (plainBytes + deltas.image.bytes)).toBeLessThanOrEqual(1.02);
  });

  it("when they start over 20 seconds", () => {
    const { site, deltas } = pair();
    for (let i = 0; i < 6; i++) {
      startUpdating(site, deltas, source());
      site.clock.advance(2000);
      starts(site, 1);
      site.clock.advance(1500);
    }
    expect(site.run(120_000)).toBe(true);
    expect((site.wan.bytes + deltas.wan.bytes) / (plainBytes + deltas.image.bytes)).toBeLessThanOrEqual(1.02);
  });
});

it("who comes when the others are done fetches nothing of the delta, nor anything else", () => {
  const { site, deltas } = pair();
  for (let i = 0; i < 3; i++) startUpdating(site, deltas, source());
  expect(site.run(60_000)).toBe(true);
  const before = site.wan.bytes + deltas.wan.bytes;
  startUpdating(site, deltas, source());
  expect(site.run(60_000)).toBe(true);
  expect(site.wan.bytes + deltas.wan.bytes - before).toBe(0);
});

it("on a line so thin that the index of the delta takes longer than patience lasts, no plain frame is fetched beside", () => {
  const { site, deltas } = pair(1e6, 40);
  startUpdating(site, deltas, source());
  expect(site.run(600_000)).toBe(true);
  expect(site.wan.bytes).toBe(plainBytes);
});
