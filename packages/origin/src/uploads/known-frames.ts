import { equalBytes } from "@ckmesh/core";
import type { FrameTable } from "@ckmesh/image";

/** Where a frame lies that is here already. */
export interface KnownPlace {
  /** Number of the pack, as given to `add`. */
  readonly pack: number;
  /** Byte offset in it. */
  readonly offset: number;
}

/**
 * Looked at for one hash: an honest index has hardly two frames whose hashes begin alike, and one that is made to
 * collide must not cost more than this.
 */
const MAX_PROBES = 64;

/** Which frames of a pack lie in other packs too, found by their hashes. */
export class KnownFrames {
  readonly #frames: FrameTable;
  /** Open addressing by the first bytes of the hash: number of a frame + 1; 0 = free. */
  readonly #slots: Int32Array;
  /** By frame: number of a pack + 1; 0 = not known. */
  readonly #packs: Uint8Array;
  readonly #offsets: Float64Array;
  #unknown: number;

  constructor(frames: FrameTable) {
    this.#frames = frames;
    let size = 16;
    while (size < frames.count * 2) size *= 2;
    this.#slots = new Int32Array(size);
    this.#packs = new Uint8Array(frames.count);
    this.#offsets = new Float64Array(frames.count);
    this.#unknown = frames.count;
    for (let i = 0; i < frames.count; i += 1) {
      const slot = this.#probe(frames.hash(i), (taken) => taken === undefined);
      if (slot !== undefined) this.#slots[slot] = i + 1;
    }
  }

  /** Frames that are not known yet. */
  get unknownCount(): number {
    return this.#unknown;
  }

  /** Notes the frames of another pack. @param pack 0 to 254 */
  add(pack: number, other: FrameTable): void {
    for (let k = 0; k < other.count; k += 1) {
      const hash = other.hash(k);
      this.#probe(hash, (i) => {
        if (i === undefined) return true;
        if (this.#packs[i] === 0 && equalBytes(this.#frames.hash(i), hash)) {
          this.#packs[i] = pack + 1;
          this.#offsets[i] = other.offset(k);
          this.#unknown -= 1;
        }
        return false;
      });
    }
  }

  find(frame: number): KnownPlace | undefined {
    const pack = this.#packs[frame] ?? 0;
    return pack === 0 ? undefined : { pack: pack - 1, offset: this.#offsets[frame] ?? 0 };
  }

  /** What should have been there is not. */
  forget(frame: number): void {
    if (this.#packs[frame] === 0) return;
    this.#packs[frame] = 0;
    this.#unknown += 1;
  }

  /**
   * The bytes of the pack from `frame` on that are not known: up to the first known stretch of `gapBytes` or more.
   * Undefined when all that follows is known.
   */
  missingFrom(frame: number, gapBytes: number): { readonly first: number; readonly end: number } | undefined {
    const frames = this.#frames;
    let from = frame;
    while (from < frames.count && this.#packs[from] !== 0) from += 1;
    if (from >= frames.count) return undefined;
    let end = from + 1;
    for (let i = end; i < frames.count; i += 1) {
      if (this.#packs[i] === 0) end = i + 1;
      else if (frames.offset(i + 1) - frames.offset(end) >= gapBytes) break;
    }
    return { first: frames.offset(from), end: frames.offset(end) };
  }

  /** The first slot of a hash for which `isIt` is true of the frame there; undefined after too many. */
  #probe(hash: Uint8Array, isIt: (frame: number | undefined) => boolean): number | undefined {
    const mask = this.#slots.length - 1;
    const start =
      ((hash[0] ?? 0) | ((hash[1] ?? 0) << 8) | ((hash[2] ?? 0) << 16) | ((hash[3] ?? 0) << 24)) & mask;
    for (let n = 0; n < MAX_PROBES; n += 1) {
      const slot = (start + n) & mask;
      const taken = this.#slots[slot] ?? 0;
      if (isIt(taken === 0 ? undefined : taken - 1)) return slot;
    }
    return undefined;
  }
}
