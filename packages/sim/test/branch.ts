import { Bitfield } from "@ckmesh/core";
import {
  type HoldingOptions,
  type SimImage,
  SimSite,
  simImage,
  startCold,
  startHolding,
  type UpdateSource,
} from "../src/index.js";
import { MIB, WAN } from "./scenario.js";

const image = simImage(16 * MIB);
const frames = image.lengths.length - image.pieces;
/** Of the frames of the new version, those that the older one has too, and those that the delta does not yield. */
const KEPT = Math.floor(frames * 0.8);
const PLAIN = 4;
const PLAIN_BYTES = PLAIN * 65_536;
const NEW_BYTES = (frames - KEPT) * 65_536;

function deltaImage(): SimImage {
  const lengths = new Uint32Array(2 + frames - KEPT - PLAIN).fill(16_384);
  lengths.set([4096, 65_536]);
  return { lengths, pieces: 2, bytes: lengths.reduce((a, b) => a + b, 0) };
}

/** What such a machine makes of its older version, and of the delta. */
function source(canPack = true): UpdateSource {
  const local = new Bitfield(image.lengths.length);
  local.addRun({ first: image.pieces, count: KEPT });
  const first = image.pieces + KEPT;
  return { local, yields: Array.from({ length: frames - KEPT - PLAIN }, (_, k) => first + k), canPack };
}

const indexBytes = image.lengths.subarray(0, image.pieces).reduce((a, b) => a + b, 0);

/** One site: the swarms of both versions and of the delta. */
export class Branch {
  readonly site: SimSite;
  readonly previous: SimSite;
  readonly deltas: SimSite;
  readonly #seed: number;

  constructor(seed: number, hasTracker = true) {
    this.#seed = seed;
    const shared = { wan: WAN, hasTracker, hasMulticast: !hasTracker };
    this.site = new SimSite({ ...shared, image, seed });
    const { clock } = this.site;
    this.previous = new SimSite({ ...shared, image, seed: seed + 1000, clock });
    this.deltas = new SimSite({ ...shared, image: deltaImage(), seed: seed + 2000, clock });
  }

  hold(checkInMs: number, over: Partial<HoldingOptions> = {}): void {
    const { site, previous, deltas } = this;
    const seed = this.#seed + checkInMs;
    startHolding({ site, previous, deltas, source: source(), checkInMs, seed, ...over });
  }

  /** A machine with the older version whose codec makes other frames than the publisher's. */
  holdUnable(checkInMs: number): void {
    this.hold(checkInMs, { source: source(false) });
  }

  cold(hasDelta = true): void {
    startCold(this.site, this.previous, source().local, hasDelta);
  }

  /** WAN bytes over those of the index, the delta, and the frames that it does not yield. */
  get copies(): number {
    const bytes = this.site.wan.bytes + this.deltas.wan.bytes + this.previous.wan.bytes;
    return bytes / (indexBytes + PLAIN_BYTES + this.deltas.image.bytes);
  }

  /** WAN bytes over those of the index and of all frames that the older version has not got. */
  get plainCopies(): number {
    return (this.site.wan.bytes + this.deltas.wan.bytes) / (indexBytes + NEW_BYTES);
  }
}
