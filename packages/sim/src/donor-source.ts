import { Bitfield } from "@ckmesh/core";
import type { SimNode } from "./sim-node.js";
import type { SimSite } from "./sim-site.js";

/** How often it is looked at what peers of the previous version offer, ms. */
const LOOK_MS = 250;
/** As long as a swarm settles, ms. */
const SETTLE_MS = 2500;
/** When no common frame comes for this long, the WAN no longer waits for the donor's peers, ms. */
const STALL_MS = 8000;

/**
 * Starts a client that holds nothing in two swarms of one site, as `DonorVersion` of the client does: that of the
 * new version, and that of the previous one, without WAN, for the frames that both have. Row numbers must be equal.
 */
export function startCold(site: SimSite, previous: SimSite, common: Bitfield): SimNode {
  const { clock } = site;
  const held = new Bitfield(common.length);
  let donor: SimNode | undefined;
  let cameAt = 0;
  const target = site.start({
    onFrames: () => {
      donor = previous.start({
        frames: { wanted: common },
        onHeld: (runs) => {
          const frames = runs.filter(({ first }) => first >= site.image.pieces);
          if (frames.length > 0) target.step({ type: "stored", runs: frames, source: "local" });
        },
      });
      donor.step({ type: "origin-gate", open: false });
      cameAt = clock.now();
      look(clock.now());
    },
    onHeld: (runs) => {
      for (const { first, count } of runs) {
        for (let row = first; row < first + count; row++) {
          if (!held.add(row) || !common.has(row)) continue;
          cameAt = clock.now();
          donor?.step({ type: "stored", runs: [{ first: row, count: 1 }], source: "local" });
        }
      }
    },
  });
  const look = (since: number): void => {
    const rows = new Bitfield(common.length);
    for (const { first, count } of common.runs())
      for (let row = first; row < first + count; row++)
        if (!held.has(row) && donor?.isOffered(row) === true) rows.add(row);
    const isFound = rows.count > 0 || clock.now() - since >= SETTLE_MS;
    if (rows.count > 0 && clock.now() - cameAt >= STALL_MS) {
      target.step({ type: "beside", rows: new Bitfield(common.length), isSure: false });
      return;
    }
    if (isFound) target.step({ type: "beside", rows, isSure: true });
    if (target.completeAt === undefined) clock.after(LOOK_MS, () => look(since));
  };
  const frames = new Bitfield(common.length);
  frames.addRun({ first: site.image.pieces, count: common.length - site.image.pieces });
  target.step({ type: "beside", rows: frames, isSure: false });
  return target;
}
