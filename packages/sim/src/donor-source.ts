import { Bitfield } from "@ckmesh/core";
import {
  type DonorEffect,
  type DonorEvent,
  DonorMachine,
  UpdateWait,
  type UpdateWaitEffect,
  type UpdateWaitEvent,
  WakeTimer,
} from "@ckmesh/swarm";
import type { SimNode } from "./sim-node.js";
import type { SimSite } from "./sim-site.js";

/** Time in which the origin says whether it has a delta, ms. */
const ASK_MS = 20;

/**
 * Starts a client that holds nothing in two swarms of one site, as the production client does: that of the new
 * version, and that of the previous one, without WAN, for the frames that both have. Row numbers must be equal.
 * @param hasDelta the origin has a delta between the two
 */
export function startCold(site: SimSite, previous: SimSite, common: Bitfield, hasDelta = false): SimNode {
  return new ColdClient(site, previous, common, hasDelta).target;
}

/** Drives a `DonorMachine` and an `UpdateWait` on virtual time: the twin of the client's `DonorVersion`. */
class ColdClient {
  readonly target: SimNode;
  readonly #donor: SimNode;
  readonly #site: SimSite;
  readonly #previous: SimSite;
  readonly #common: Bitfield;
  /** Frames that the previous version has not got. */
  readonly #news: Bitfield;
  readonly #hasDelta: boolean;
  readonly #machine = new DonorMachine();
  readonly #wait = new UpdateWait();
  /** Rows of the target that came. */
  readonly #held: Bitfield;
  /** Rows in common that have not come. */
  #missing: number;
  #knowsTarget = false;
  readonly #lookWake: WakeTimer;
  readonly #waitWake: WakeTimer;

  constructor(site: SimSite, previous: SimSite, common: Bitfield, hasDelta: boolean) {
    this.#site = site;
    this.#lookWake = new WakeTimer(site.clock, () => this.#look());
    this.#waitWake = new WakeTimer(site.clock, () => this.#lookForUpdate());
    this.#hasDelta = hasDelta;
    this.#previous = previous;
    this.#common = common;
    this.#news = new Bitfield(common.length);
    for (const run of common.runs(false, site.image.pieces)) this.#news.addRun(run);
    this.#held = new Bitfield(common.length);
    this.#missing = common.count;
    this.target = site.start({
      comesBeside: (row) => this.#wait.isHolding && row >= site.image.pieces,
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
      onNewer: () => this.#stepWait({ type: "heard" }),
      onFrames: () => {
        this.#lookForUpdate();
        this.#step({ type: "matched" });
      },
      onHeld: (runs) => {
        const frames = runs.filter(({ first }) => first >= site.image.pieces);
        if (frames.length > 0) this.target.step({ type: "stored", runs: frames, source: "local" });
      },
    });
    this.#donor.step({ type: "origin-gate", open: false });
    this.#step({ type: "start" });
    this.#lookForUpdate();
  }

  #hold(row: number): void {
    if (!this.#held.add(row) || !this.#common.has(row)) return;
    this.#step({ type: "came" });
    this.#donor.step({ type: "stored", runs: [{ first: row, count: 1 }], source: "local" });
    this.#missing -= 1;
    this.#leaveIfDone();
  }

  #leaveIfDone(): void {
    if (this.#missing === 0 && !this.#wait.isHolding) this.#step({ type: "end" });
  }

  #lookForUpdate(): void {
    const isKnown = this.#wait.isHolding && this.#machine.looksFor === "frames";
    const holders = this.#machine.isEnded ? undefined : this.#donor.holders;
    const expected = isKnown ? this.target.expected(this.#news) : undefined;
    this.#stepWait({ type: "look", holders, isSettled: this.#donor.isSettled, expected });
  }

  #stepWait(event: UpdateWaitEvent): void {
    const { clock } = this.#site;
    for (const effect of this.#wait.step(event, clock.now())) this.#applyWait(effect);
    this.#waitWake.set(this.target.completeAt === undefined ? this.#wait.deadline() : undefined);
  }

  #applyWait(effect: UpdateWaitEffect): void {
    switch (effect.type) {
      case "ask":
        this.#site.clock.after(ASK_MS, () => {
          this.#stepWait({ type: "answered", hasDelta: this.#hasDelta });
        });
        return;
      case "tell":
        this.#donor.step({ type: "newer", version: 2 });
        return;
      case "release":
        this.target.step({ type: effect.isPromised ? "beside-came" : "tick" });
        this.#leaveIfDone();
        return;
    }
  }

  #step(event: DonorEvent): void {
    const { clock } = this.#site;
    for (const effect of this.#machine.step(event, clock.now())) this.#apply(effect);
    this.#lookWake.set(this.#machine.deadline());
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
