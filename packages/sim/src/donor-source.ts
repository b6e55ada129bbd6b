import { Bitfield } from "@ckmesh/core";
import { type DonorEffect, type DonorEvent, DonorMachine } from "@ckmesh/swarm";
import type { SimNode } from "./sim-node.js";
import type { SimSite } from "./sim-site.js";

/**
 * Starts a client that holds nothing in two swarms of one site, as the production client does: that of the new
 * version, and that of the previous one, without WAN, for the frames that both have. Row numbers must be equal.
 */
export function startCold(site: SimSite, previous: SimSite, common: Bitfield): SimNode {
  return new ColdClient(site, previous, common).target;
}

/** Drives a `DonorMachine` on virtual time: the twin of the client's `DonorVersion`. */
class ColdClient {
  readonly target: SimNode;
  readonly #donor: SimNode;
  readonly #site: SimSite;
  readonly #previous: SimSite;
  readonly #common: Bitfield;
  readonly #machine = new DonorMachine();
  /** Rows of the target that came. */
  readonly #held: Bitfield;
  /** Rows in common that have not come. */
  #missing: number;
  #knowsTarget = false;
  #cancelLook: (() => void) | undefined;

  constructor(site: SimSite, previous: SimSite, common: Bitfield) {
    this.#site = site;
    this.#previous = previous;
    this.#common = common;
    this.#held = new Bitfield(common.length);
    this.#missing = common.count;
    this.target = site.start({
      onFrames: () => {
        this.#knowsTarget = true;
        this.#step({ type: "target-frames" });
        this.#donor.learn();
      },
      onHeld: (runs) => {
        for (const { first, count } of runs)
          for (let row = first; row < first + count; row++) this.#hold(row);
      },
    });
    this.#donor = previous.start({
      frames: { wanted: common },
      mayLearn: () => this.#knowsTarget,
      onFrames: () => {
        this.#step({ type: "matched" });
      },
      onHeld: (runs) => {
        const frames = runs.filter(({ first }) => first >= site.image.pieces);
        if (frames.length > 0) this.target.step({ type: "stored", runs: frames, source: "local" });
      },
    });
    this.#donor.step({ type: "origin-gate", open: false });
    this.#step({ type: "start" });
  }

  #hold(row: number): void {
    if (!this.#held.add(row) || !this.#common.has(row)) return;
    this.#step({ type: "came" });
    this.#donor.step({ type: "stored", runs: [{ first: row, count: 1 }], source: "local" });
    this.#missing -= 1;
    if (this.#missing === 0) this.#step({ type: "end" });
  }

  #step(event: DonorEvent): void {
    const { clock } = this.#site;
    for (const effect of this.#machine.step(event, clock.now())) this.#apply(effect);
    this.#cancelLook?.();
    const due = this.#machine.deadline();
    if (due === undefined) return;
    this.#cancelLook = clock.after(Math.max(0, due - clock.now()), () => {
      this.#look();
    });
  }

  #apply(effect: DonorEffect): void {
    switch (effect.type) {
      case "hold":
        this.target.step({ type: "beside", rows: this.#rows(effect.rows), isSure: effect.isSure });
        return;
      case "leave":
        this.#previous.kill(this.#donor);
        return;
    }
  }

  #rows(rows: Bitfield | "all-frames" | "none"): Bitfield {
    if (rows !== "all-frames" && rows !== "none") return rows;
    const { pieces } = this.#site.image;
    const all = new Bitfield(this.#common.length);
    if (rows === "all-frames") all.addRun({ first: pieces, count: all.length - pieces });
    return all;
  }

  #look(): void {
    if (this.#machine.looksFor === "frames") {
      const rows = new Bitfield(this.#common.length);
      for (const { first, count } of this.#common.runs())
        for (let row = first; row < first + count; row++)
          if (!this.#held.has(row) && this.#donor.isOffered(row)) rows.add(row);
      this.#step({ type: "offered", rows });
      return;
    }
    const last = this.#previous.image.pieces - 1;
    const hasTable = this.#donor.rowsHeld().has(last) || this.#donor.isOffered(last);
    this.#step({ type: "table", isSettled: this.#donor.isSettled, hasTable });
  }
}
