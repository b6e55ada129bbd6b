import { Bitfield, type Run } from "@ckmesh/core";
import { type DeltaEffect, type DeltaEvent, DeltaMachine, WakeTimer } from "@ckmesh/swarm";
import type { SimNode } from "./sim-node.js";
import type { SimSite } from "./sim-site.js";

/** What a client with an older version makes the new one of. */
export interface UpdateSource {
  /** Rows of the new version that the older one has too. */
  readonly local: Bitfield;
  /** Rows of the new version that the frames of the delta yield, in their order. */
  readonly yields: readonly number[];
  /** False: its codec makes other frames, so it keeps decoded what the delta yields, and has no packed frame of it. */
  readonly canPack?: boolean;
}

/** Time in which a frame of the delta is applied, ms: 64 KiB at 43 MB/s, a thread's part in `test/bench/apply-bench.ts`. */
const APPLY_MS = 1.5;
/** Time in which the head of the delta comes, ms. */
const SEARCH_MS = 20;

/**
 * Starts a client that holds an older version in two swarms of one site, as the production client does: that of the
 * new version, and that of the delta to it.
 */
export function startUpdating(site: SimSite, deltas: SimSite, source: UpdateSource): SimNode {
  return new UpdatingClient(site, deltas, source).target;
}

/** Drives a `DeltaMachine` on virtual time: the twin of the client's `DeltaVersion`. */
class UpdatingClient {
  readonly target: SimNode;
  readonly #site: SimSite;
  readonly #deltas: SimSite;
  readonly #source: UpdateSource;
  readonly #machine: DeltaMachine;
  /** Rows of the target that came. */
  readonly #held: Bitfield;
  /** Rows of the target that came, and those that are here decoded: what a disk is made of. */
  readonly #usable: Bitfield;
  readonly #canPack: boolean;
  /** Frame of the delta by row of the target. */
  readonly #frameOf: ReadonlyMap<number, number>;
  #delta: SimNode | undefined;
  readonly #wake: WakeTimer;

  constructor(site: SimSite, deltas: SimSite, source: UpdateSource) {
    this.#site = site;
    this.#wake = new WakeTimer(site.clock, () => this.#look());
    this.#deltas = deltas;
    this.#source = source;
    this.#held = new Bitfield(site.image.lengths.length);
    this.#usable = new Bitfield(site.image.lengths.length);
    this.#canPack = source.canPack !== false;
    this.#machine = new DeltaMachine(this.#canPack);
    this.#frameOf = new Map(source.yields.map((row, k) => [row, k]));
    this.target = site.start({
      frames: { local: source.local },
      onFrames: (self) => {
        this.#step({ type: "planned" });
        self.step({ type: "stored", runs: [...source.local.runs()], source: "local" });
        self.step({ type: "local-done" });
      },
      onHeld: (runs) => this.#hold(runs),
    });
    this.#step({ type: "start" });
  }

  #hold(runs: readonly Run[]): void {
    const { pieces } = this.#deltas.image;
    for (const { first, count } of runs)
      for (let row = first; row < first + count; row++) {
        this.#held.add(row);
        this.#usable.add(row);
        const k = this.#frameOf.get(row);
        if (k !== undefined)
          this.#delta?.step({ type: "elsewhere", runs: [{ first: pieces + k, count: 1 }], isAsked: true });
      }
    this.#delta?.step({ type: "beside-came" });
    this.#endIfUsable();
  }

  /** The disk can be made: what is missing of the pack comes from peers, never over the WAN. */
  #endIfUsable(): void {
    if (!this.#usable.isFull) return;
    if (!this.#held.isFull) this.target.step({ type: "origin-gate", open: false });
    this.#step({ type: "done", isPacked: this.#held.isFull });
  }

  #join(): void {
    if (this.#machine.isEnded) return;
    this.#step({ type: "searched", result: "found" });
    const { clock, image } = this.#deltas;
    this.#delta = this.#deltas.start({
      comesBeside: (row) => {
        const target = this.#source.yields[row - image.pieces];
        if (!this.#canPack && this.target.isFetchedElsewhere) return true;
        return target !== undefined && (this.#usable.has(target) || this.target.isOffered(target));
      },
      onFrames: () => {
        this.#step({ type: "fits" });
      },
      onHeld: (runs) => {
        this.#step({ type: "came" });
        this.target.step({ type: "beside-came" });
        const rows = this.#yieldedBy(runs);
        this.target.step({ type: "elsewhere", runs: rows, isAsked: true });
        clock.after(APPLY_MS * rows.length, () => {
          this.#applied(rows);
        });
      },
    });
    // What came with its very first steps has been heard of before the node was known.
    if (this.#delta.held >= image.pieces) this.#step({ type: "fits" });
  }

  #applied(rows: readonly Run[]): void {
    if (this.#canPack) {
      this.target.step({ type: "stored", runs: rows, source: "local" });
      return;
    }
    for (const run of rows) this.#usable.addRun(run);
    this.target.step({ type: "elsewhere", runs: rows, isAsked: false });
    this.#endIfUsable();
  }

  #yieldedBy(runs: readonly Run[]): readonly Run[] {
    const { pieces } = this.#deltas.image;
    return runs.flatMap(({ first, count }) =>
      Array.from({ length: count }, (_, i) => this.#source.yields[first + i - pieces])
        .filter((row) => row !== undefined)
        .map((row) => ({ first: row, count: 1 })),
    );
  }

  #step(event: DeltaEvent): void {
    const { clock } = this.#site;
    for (const effect of this.#machine.step(event, clock.now())) this.#apply(effect);
    this.#wake.set(this.#machine.deadline());
  }

  #apply(effect: DeltaEffect): void {
    switch (effect.type) {
      case "hold":
        this.target.step({
          type: "beside",
          rows: this.#rows(effect.rows),
          isSure: effect.rows !== "none" && this.#canPack,
        });
        return;
      case "be-patient":
        this.target.step({ type: "beside-came" });
        return;
      case "search":
        this.#site.clock.after(SEARCH_MS, () => {
          this.#join();
        });
        return;
      case "leave":
        if (this.#delta !== undefined) this.#deltas.kill(this.#delta);
        return;
    }
  }

  #rows(rows: "all-frames" | "yielded" | "none"): Bitfield {
    const { pieces, lengths } = this.#site.image;
    const held = new Bitfield(lengths.length);
    if (rows === "all-frames") held.addRun({ first: pieces, count: held.length - pieces });
    if (rows === "yielded") for (const row of this.#source.yields) held.add(row);
    return held;
  }

  #look(): void {
    if (!this.#machine.looksForNeed) this.#step({ type: "tick" });
    else
      this.#step({
        type: "need",
        isSettled: this.target.isSettled,
        isShort: this.#isShort(),
        hasPeers: this.target.links.size > 0,
        isFetched: this.target.isFetchedElsewhere,
      });
  }

  #isShort(): boolean {
    const lacking = new Bitfield(this.#usable.length);
    for (const { first, count } of this.#usable.runs(false, this.#site.image.pieces))
      for (let row = first; row < first + count; row++)
        if (!this.#source.local.has(row) && !this.target.isOffered(row)) lacking.add(row);
    // Who can pack promises too: each would wait for the other.
    return this.#canPack ? lacking.count > 0 : this.target.expected(lacking).coming < lacking.count;
  }
}
