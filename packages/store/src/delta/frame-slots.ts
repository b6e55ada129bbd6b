/** Which decoded frames a cache of so many slots holds, and where; the frame that was used longest ago gives way. */
export class FrameSlots {
  readonly #count: number;
  /** Slot by frame; the one used longest ago first. */
  readonly #slots = new Map<number, number>();

  constructor(count: number) {
    this.#count = count;
  }

  /** Slot of a frame that is held. */
  of(frame: number): number {
    const slot = this.#slots.get(frame);
    if (slot === undefined) throw new Error("unreachable: a frame that was not loaded");
    return slot;
  }

  /** The frame is used now. False: it is not held. */
  touch(frame: number): boolean {
    const slot = this.#slots.get(frame);
    if (slot === undefined) return false;
    this.#slots.delete(frame);
    this.#slots.set(frame, slot);
    return true;
  }

  /** The slot of a frame that is to be held: its own, else one that is free, else that of the frame that gives way. */
  take(frame: number): number {
    let slot = this.#slots.get(frame);
    if (slot !== undefined) return slot;
    slot = this.#slots.size;
    if (slot === this.#count) {
      const [oldest] = this.#slots;
      if (oldest === undefined) throw new Error("unreachable: a full cache without an entry");
      this.#slots.delete(oldest[0]);
      slot = oldest[1];
    }
    this.#slots.set(frame, slot);
    return slot;
  }
}
