import { Bitfield } from "@ckmesh/core";
import type { NodeOptions, SimNode } from "./sim-node.js";
import type { SimSite } from "./sim-site.js";

/** A stand-in for a delta, or for an older pack on the disk: delivers frames at a steady rate without the WAN. */
export interface DeriveSource {
  readonly rows: Bitfield;
  /** Bytes per ms; 0: it promises and never delivers. */
  readonly rate: number;
  /** So long it is at work before the first frame, ms: a chain of deltas, of which the last yields them. */
  readonly leadMs?: number;
  /** Bends what the node says. */
  readonly bend?: NodeOptions["bend"];
}

/** How often something moves while it is at work, ms. */
const WORK_MS = 500;

/** Starts a node that derives frames. Like a client with an older version, it promises all until it knows which. */
export function startDeriving(site: SimSite, { rows, rate, leadMs = 0, bend }: DeriveSource): SimNode {
  const node = site.start({
    frames: { local: rows },
    ...(bend !== undefined && { bend }),
    onFrames: (self) => {
      self.step({ type: "beside", rows: new Bitfield(rows.length), isSure: false });
      work(site, self, leadMs, () => {
        if (rate > 0) deliver(site, self, rows, rate);
      });
    },
  });
  const frames = new Bitfield(rows.length);
  frames.addRun({ first: site.image.pieces, count: rows.length - site.image.pieces });
  node.step({ type: "beside", rows: frames, isSure: true });
  return node;
}

function work(site: SimSite, node: SimNode, leftMs: number, then: () => void): void {
  if (leftMs <= 0) {
    then();
    return;
  }
  site.clock.after(WORK_MS, () => {
    node.step({ type: "beside-came" });
    work(site, node, leftMs - WORK_MS, then);
  });
}

function deliver({ clock, image }: SimSite, node: SimNode, rows: Bitfield, rate: number): void {
  const next = (from: number): void => {
    const row = rows.next(from, true);
    if (row >= rows.length) {
      node.step({ type: "local-done" });
      return;
    }
    clock.after((image.lengths[row] ?? 0) / rate, () => {
      node.step({ type: "stored", runs: [{ first: row, count: 1 }], source: "local" });
      next(row + 1);
    });
  };
  next(0);
}
