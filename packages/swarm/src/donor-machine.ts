import type { Bitfield } from "@ckmesh/core";
import { DONOR_HOLD_LOOK_MS, DONOR_HOLD_MS, DONOR_LOOK_MS, DONOR_STALL_MS } from "./constants.js";

export type DonorEvent =
  | { readonly type: "start" }
  /** The frame table of the target is known. */
  | { readonly type: "target-frames" }
  /**
   * A look at the donor's swarm; wanted while `looksFor` is "table".
   * @property isSettled enough of its peers were seen
   * @property hasTable its frame table, or the beginning of it, is here or on offer
   */
  | { readonly type: "table"; readonly isSettled: boolean; readonly hasTable: boolean }
  /** Both frame tables are known, and what they have in common. */
  | { readonly type: "matched" }
  /** Frames of the target that it lacks and that the donor's peers offer; wanted while `looksFor` is "frames". */
  | { readonly type: "offered"; readonly rows: Bitfield }
  /** Frames in common came, from wherever. */
  | { readonly type: "came" }
  /** Nothing in common is missing any more, the donor cannot be joined, or the work on the target ends. */
  | { readonly type: "end" };

export type DonorEffect =
  /**
   * These rows of the target, and no others, are held back from the WAN.
   * @property isSure peers offer them: the site is told, so that nobody claims them
   */
  | { readonly type: "hold"; readonly rows: Bitfield | "all-frames" | "none"; readonly isSure: boolean }
  /** The donor's swarm is left; the target's asks for all that it still needs. */
  | { readonly type: "leave" };

/**
 * What a cold client expects of the swarm of the previous version, the donor, which it joins for frames that the
 * new version, the target, has too (site swarm rule 8): how long the WAN waits for them. States: looking (all frames
 * are held back) → none (nobody is there in time) → matched (what peers offer is held back, from either of the two)
 * → doubted, for good (they do not bring it: rows from elsewhere say nothing about them); ended, from any of them.
 */
export class DonorMachine {
  #state: "looking" | "none" | "matched" | "doubted" | "ended" = "looking";
  /** When holding back all frames ends; known once the frame table of the target is. */
  #holdUntil = Number.POSITIVE_INFINITY;
  #isHolding = true;
  /** When a common frame last came, or could for the first time. */
  #cameAt = 0;
  #lookAt = Number.POSITIVE_INFINITY;

  get isEnded(): boolean {
    return this.#state === "ended";
  }

  /** What the next look is for: the event that is wanted at `deadline`. */
  get looksFor(): "table" | "frames" | undefined {
    if (this.#state === "looking") return "table";
    return this.#state === "matched" ? "frames" : undefined;
  }

  /** Monotonic ms of the next look; undefined: none. */
  deadline(): number | undefined {
    return this.looksFor === undefined ? undefined : this.#lookAt;
  }

  /** Advances by one event; `now` is monotonic and never goes back. */
  step(event: DonorEvent, now: number): readonly DonorEffect[] {
    if (this.#state === "ended") return [];
    switch (event.type) {
      case "start":
        this.#lookAt = now;
        return [{ type: "hold", rows: "all-frames", isSure: false }];
      case "target-frames":
        this.#holdUntil = Math.min(this.#holdUntil, now + DONOR_HOLD_MS);
        return [];
      case "table":
        if (this.#state !== "looking") return [];
        this.#lookAt = now + DONOR_HOLD_LOOK_MS;
        if (now < this.#holdUntil && (event.hasTable || !event.isSettled)) return [];
        this.#state = "none";
        return this.#release();
      case "matched":
        this.#state = "matched";
        this.#cameAt = now;
        this.#lookAt = now;
        return [];
      case "offered":
        return this.#state === "matched" ? this.#offered(event.rows, now) : [];
      case "came":
        this.#cameAt = now;
        return [];
      case "end":
        this.#state = "ended";
        return [{ type: "leave" }, ...this.#release()];
    }
  }

  #offered(rows: Bitfield, now: number): DonorEffect[] {
    this.#lookAt = now + DONOR_LOOK_MS;
    if (rows.count === 0) this.#cameAt = now;
    if (now - this.#cameAt >= DONOR_STALL_MS) {
      this.#state = "doubted";
      return this.#release();
    }
    if (rows.count === 0) return this.#release();
    this.#isHolding = true;
    return [{ type: "hold", rows, isSure: true }];
  }

  #release(): DonorEffect[] {
    if (!this.#isHolding) return [];
    this.#isHolding = false;
    return [{ type: "hold", rows: "none", isSure: false }];
  }
}
