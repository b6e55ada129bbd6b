import type { FrameTable } from "../frame-table.js";
import type { SectorMapCursor } from "../sector-map.js";
import { FrameFinder } from "./missing-frames.js";

/**
 * Of the frames that both versions show, one in so many is fingerprinted before the search. One in 8 makes delta and
 * frames outside it 1.3 % larger than all do (medium NTFS disk of test/corpus).
 */
const MAX_STRIDE = 8;
/** But so many at least, 32 MiB: small disks have small files, and cost little. */
const MIN_SAMPLED = 512;

const ABSENT = 0;
const SAMPLED = 1;
const TAKEN = 2;

/**
 * Which frames of a base are worth being compared with. What is new in a version mostly took the place of something:
 * it resembles frames that the version shows no longer, or not all of. Of the others a sample is enough to notice a
 * file that is like one that stays; the frames around those that were hit follow.
 */
export class ReferenceFrames {
  /** The frames to begin with. Rising. */
  readonly first: Uint32Array;
  /** Those of them of which the target does not show every sector. Rising. */
  readonly vanished: Uint32Array;
  readonly #stride: number;
  readonly #states: Uint8Array;

  /** @param map of the target, from its start; its frames may have sectors that the disk shows no longer */
  constructor(base: FrameTable, target: FrameTable, map: SectorMapCursor) {
    const states = new Uint8Array(base.count);
    const finder = new FrameFinder(target);
    const shown = shownSectors(target, map);
    let kept = 0;
    for (let frame = 0; frame < base.count; frame += 1) {
      const same = finder.find(base.hash(frame));
      if (same === -1) states[frame] = TAKEN;
      else if (shown.subarray(target.firstSector(same), target.firstSector(same + 1)).includes(0))
        states[frame] = SAMPLED;
      else kept += 1;
    }
    const frames = Uint32Array.from({ length: base.count }, (_, frame) => frame);
    this.vanished = frames.filter((frame) => states[frame] !== ABSENT);
    this.#stride = Math.max(1, Math.min(MAX_STRIDE, Math.floor(kept / MIN_SAMPLED)));
    for (let frame = 0; frame < base.count; frame += this.#stride) {
      if (states[frame] === ABSENT) states[frame] = SAMPLED;
    }
    this.#states = states;
    this.first = frames.filter((frame) => states[frame] !== ABSENT);
  }

  /**
   * The frames around those of `hits` that stand for others; each frame is named once. Rising.
   * @param hits frames that new content resembles
   */
  near(hits: Iterable<number>): Uint32Array {
    const near: number[] = [];
    for (const hit of hits) {
      if (this.#states[hit] !== SAMPLED) continue;
      this.#states[hit] = TAKEN;
      const end = Math.min(hit + this.#stride, this.#states.length);
      for (let frame = Math.max(0, hit - this.#stride + 1); frame < end; frame += 1) {
        if (this.#states[frame] !== ABSENT) continue;
        this.#states[frame] = TAKEN;
        near.push(frame);
      }
    }
    return Uint32Array.from(near).toSorted();
  }
}

/** A byte per unique sector: 1 where the disk shows it. */
function shownSectors(table: FrameTable, map: SectorMapCursor): Uint8Array {
  const shown = new Uint8Array(table.sectors);
  while (map.next()) shown.fill(1, map.sector, map.sector + map.count);
  return shown;
}
