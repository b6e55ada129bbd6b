import { Bitfield, seededRandom } from "@ckmesh/core";
import { HintGate } from "@ckmesh/swarm";
import { startUpdating, type UpdateSource } from "./delta-source.js";
import type { SimNode } from "./sim-node.js";
import type { SimSite } from "./sim-site.js";

/** Time in which a look at the origin is answered: control record, then head, ms. */
const CHECK_MS = 40;
/** Numbers of the two versions, as peers speak of them. */
const [OLD, NEW] = [1, 2];

export interface HoldingOptions {
  /** Swarm of the version that it holds. */
  readonly previous: SimSite;
  /** Swarm of the newer version, and of the delta to it. */
  readonly site: SimSite;
  readonly deltas: SimSite;
  readonly source: UpdateSource;
  /** When its next look at the origin is due, ms from now. */
  readonly checkInMs: number;
  readonly seed: number;
  /** False: whatever it hears, it does not take the newer version. */
  readonly isWilling?: boolean;
}

/** Starts a client that holds the previous version and looks for a newer one now and then, or when peers speak of it. */
export function startHolding({ previous, site, deltas, source, ...options }: HoldingOptions): SimNode {
  const { clock } = site;
  const gate = new HintGate(seededRandom(options.seed));
  let newest = OLD;
  const check = (): void => {
    if (newest === NEW) return;
    newest = NEW;
    clock.after(CHECK_MS, () => {
      if (options.isWilling !== false) startUpdating(site, deltas, source);
    });
  };
  clock.after(options.checkInMs, check);
  return previous.start({
    have: Bitfield.full(previous.image.lengths.length),
    onNewer: (version, peerId) => {
      const ms = gate.heard(peerId, version, newest, clock.now());
      if (ms !== undefined) clock.after(ms, check);
    },
  });
}
