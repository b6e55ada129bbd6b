import { AppError, Bitfield, isAppError, type Run } from "@ckmesh/core";
import { canPackNew, type DeltaFiles, type ImageRows, type RebuiltFrames } from "@ckmesh/store";
import { type DeltaEffect, type DeltaEvent, DeltaMachine, WakeTimer } from "@ckmesh/swarm";
import { asAppError } from "../as-app-error.js";
import { decodedRows, missingFrames } from "../local/decoded-rows.js";
import type { LocalPlan } from "../local/local-plan.js";
import { joinSwarm, listSwarm, swarmBasics } from "../peers/peer-swarm.js";
import { NO_RATE } from "../status.js";
import { VersionSwarm } from "../version/version-swarm.js";
import type { DeltaBase } from "./delta-base.js";
import { deltaOriginRows } from "./delta-origin-rows.js";
import { type FoundDelta, isRefusal } from "./delta-search.js";
import { type DeltaSpace, deltaSpace, NO_DELTA_SPACE } from "./delta-space.js";
import type { DeltaVersionOptions } from "./delta-version-options.js";
import { DeltaYield } from "./delta-yield.js";

/** A delta that was found, and what moves its rows. */
interface OpenDelta {
  readonly found: FoundDelta;
  readonly base: DeltaBase;
  readonly files: DeltaFiles;
  readonly swarm: VersionSwarm;
  readonly leave: () => void;
}

/**
 * A delta to the version that is fetched, the target: a swarm of its own, whose frames make frames of the target out
 * of a version that is here, as they come (site swarm rule 8). When it is looked for and given up: `DeltaMachine`.
 */
export class DeltaVersion {
  readonly #options: DeltaVersionOptions;
  readonly #machine: DeltaMachine;
  /** Frames of the delta can be packed here as the publisher did. */
  readonly #canPack: boolean;
  /** Frames of the delta that yield nothing here: what they need of the base is damaged. */
  readonly #useless = new Set<number>();
  readonly #abort = new AbortController();
  readonly #work = new Set<Promise<void>>();
  /** Rows that local data is about to bring. */
  #local: Bitfield;
  #open: OpenDelta | undefined;
  /** Known as soon as one is found. */
  #space: (() => DeltaSpace) | undefined;
  /** Known once the index of the delta is. */
  #yield: DeltaYield | undefined;
  #tellIndexHeld: () => void = () => {};
  readonly #wake: WakeTimer;
  #isOver = false;
  #isKept = false;

  constructor(options: DeltaVersionOptions) {
    this.#options = options;
    this.#wake = new WakeTimer(options.context.clock, () => this.#look());
    this.#canPack = canPackNew(options.target.signed.head);
    this.#machine = new DeltaMachine(this.#canPack);
    this.#local = noRows(options.target);
    this.#step({ type: "start" });
  }

  /** Bytes per second of its rows. */
  get rate(): { readonly peers: number; readonly origin: number } {
    if (this.#open === undefined) return NO_RATE;
    const { swarm, base } = this.#open;
    return {
      peers: swarm.peersRate.rate + base.rate.peers,
      origin: swarm.originRate.rate + base.rate.origin,
    };
  }

  /** What it will still take in the store, beside the target. */
  get space(): DeltaSpace {
    return this.#space?.() ?? NO_DELTA_SPACE;
  }

  /** The frame table of the target is known, and these of its rows lie on this machine. */
  planned(local: Bitfield): void {
    this.#local = local.clone();
    this.#step({ type: "planned" });
  }

  /** What local data could bring is here. */
  localDone(): void {
    this.#local = noRows(this.#options.target);
  }

  /** Rows of the target came, from wherever: frames of the delta that yield them are of no more use. */
  held(targetRuns: readonly Run[]): void {
    if (this.#machine.isEnded) return;
    this.asked(targetRuns, true);
    this.#open?.swarm.step({ type: "beside-came" });
  }

  /** The target's swarm asks its peers for rows, or no longer does: frames of the delta need not be asked for. */
  asked(targetRuns: readonly Run[], isAsked: boolean): void {
    const runs = this.#machine.isEnded ? undefined : this.#yield?.deltaRuns(targetRuns);
    if (runs !== undefined && runs.length > 0) this.#open?.swarm.step({ type: "elsewhere", runs, isAsked });
  }

  /** The target is complete, or (`isPacked` false) its disk can be made: the delta goes, when it is of no use to others. */
  finish(isPacked: boolean): void {
    this.#isOver = true;
    // It may be kept for others for a while; nothing more is made of it.
    if (this.#yield !== undefined) this.#run(this.#yield.close());
    if (this.#open === undefined) this.#run(this.#removeUnopened());
    this.#step({ type: "done", isPacked });
  }

  /** Leaves its swarm; what came of a delta that is still of use stays on the disk. Safe to call twice. */
  async close(): Promise<void> {
    this.#isKept = !this.#isOver;
    this.#step({ type: "end" });
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  async #search(): Promise<void> {
    const { target, find, logger } = this.#options;
    const missingBytes = this.#missing().reduce((sum, run) => sum + target.table.runLength(run), 0);
    try {
      const found = await find(missingBytes, this.#abort.signal);
      if (found === undefined) this.#step({ type: "searched", result: "none" });
      else if (!this.#machine.isEnded) await this.#join(found);
    } catch (err) {
      if (!isAppError(err)) throw err;
      // Not there, or there is no room for it: plain frames take less.
      const isFull = err.code === "ERR_STORE_FULL";
      if (!this.#machine.isEnded) logger[isFull ? "warn" : "debug"]({ err }, "no delta");
      this.#step({ type: "searched", result: isFull ? "none" : "failed" });
    }
  }

  async #join(found: FoundDelta): Promise<void> {
    const { context, waste, swarms, logger } = this.#options;
    const { name, version, base: from } = found.signed.head;
    const files = await context.store.openDelta(name, found.block);
    const base = await this.#openBase(found, files).catch(async (err: unknown) => {
      this.#space = undefined;
      await files.close();
      await context.store.removeDelta(name, version, from.version);
      throw err;
    });
    logger.info({ from: from.version, rows: files.table.layout.rows }, "delta found");
    const indexHeld = new Promise<void>((resolve) => {
      this.#tellIndexHeld = resolve;
    });
    const swarm = new VersionSwarm({
      ...swarmBasics(context),
      files,
      rows: deltaOriginRows(context.origin, files),
      wan: context.wan,
      waste,
      ...(swarms && { join: joinSwarm(context, files) }),
      logger,
      indexCarry: undefined,
      holdsOlder: false,
      planLocal: async () => {
        await indexHeld;
        return await this.#fit(files, base);
      },
      comesBeside: (row) => this.#isSuperfluous(row),
      onHeld: (runs) => this.#came(files, runs),
      onAsked: (rows, isAsked) => this.#targetElsewhere(this.#yield?.targetRunsOf([rows]), isAsked),
      onProgress: this.#options.onProgress,
      onComplete: () => {}, // it is over when the target is complete
      onFault: (err) => this.#giveUp(err),
      onOriginError: (err) => {
        logger.debug({ err }, "delta not fetched at the origin");
        if (isRefusal(err.code)) this.#step({ type: "refused" });
      },
    });
    const leave = swarms ? listSwarm(context, files, swarm) : () => {};
    this.#open = { found, base, files, swarm, leave };
    this.#noteBytes(files);
    if (this.#machine.isEnded) {
      this.#leave();
      return;
    }
    this.#step({ type: "searched", result: "found" });
    // Who has the delta is among those who have the target: there is nobody else to wait for.
    swarm.step({ type: "candidates", source: "peers", peers: this.#options.swarm.peers, complete: true });
    swarm.start();
    if (files.isIndexComplete) this.#tellIndexHeld();
  }

  async #openBase(found: FoundDelta, files: DeltaFiles): Promise<DeltaBase> {
    const { openBase, target, keepsDecoded, requireSpace } = this.#options;
    let base: DeltaBase | undefined;
    this.#space = () => deltaSpace(files, base, target, keepsDecoded);
    await requireSpace();
    base = await openBase(found.base, {
      ...this.#options,
      lacks: (row) => !target.hasFrames({ first: row, count: 1 }) && !this.#local.has(row),
      isShort: () => this.#isShort(),
    });
    return base;
  }

  /** The index of the delta is here. @throws {AppError} ERR_INDEX_INVALID when it does not fit the versions */
  async #fit(files: DeltaFiles, base: DeltaBase): Promise<LocalPlan> {
    const none: LocalPlan = { rows: noRows(files), wanted: noRows(files), copy: async () => {} };
    if (this.#machine.isEnded) return none;
    if (!(await base.bring(files))) this.#step({ type: "end" });
    if (this.#machine.isEnded) return none;
    const { target, wanted: rows, keepsDecoded } = this.#options;
    const found = await DeltaYield.open({
      delta: files,
      base: base.files,
      target,
      ...(rows !== undefined && { wanted: rows }),
      keepsDecoded,
      onApplied: (ks, result) => this.#applied(files, base, ks, result),
      onError: (err) => this.#failed(asAppError(err)),
    });
    if (this.#machine.isEnded) {
      await found.close();
      return none;
    }
    this.#yield = found;
    const wanted = noRows(files);
    for (const k of found.useful()) wanted.add(files.table.layout.pieceRows + k);
    this.#options.logger.info({ frames: found.frames, wanted: wanted.count }, "delta fits");
    this.#step({ type: "fits" });
    return { ...none, wanted };
  }

  /** Rows of the delta came: its frames are applied. */
  #came(files: DeltaFiles, runs: readonly Run[]): void {
    this.#noteBytes(files);
    if (this.#machine.isEnded) return;
    this.#step({ type: "came" });
    this.#options.swarm.step({ type: "beside-came" });
    if (files.isIndexComplete) this.#tellIndexHeld();
    if (this.#isOver) return;
    // Peers may offer what is about to be made here.
    this.#targetElsewhere(this.#yield?.targetRunsOf(runs), true);
    this.#yield?.came(runs);
  }

  #applied(files: DeltaFiles, base: DeltaBase, ks: Uint32Array, result: RebuiltFrames): void {
    const { swarm, onProgress } = this.#options;
    const { stored, badDelta, badBase, damaged } = result;
    if (stored.length > 0) swarm.step({ type: "stored", runs: stored, source: "local" });
    onProgress();
    if (this.#machine.isEnded) return;
    // What was not made here is to be had elsewhere.
    for (const k of badBase) this.#useless.add(k);
    if (badBase.length > 0) this.#holdYielded();
    this.#targetElsewhere(this.#yield?.targetRuns(ks), false);
    if (damaged.base.length > 0) base.damaged(damaged.base);
    if (damaged.delta.length > 0) this.#run(this.#recheck(files, damaged.delta));
    if (badDelta.length === 0) return;
    const { name, version } = files.signed.head;
    const problem = `its frames do not yield those of ${name} version ${version}`;
    this.#giveUp(new AppError("ERR_PACK_INVALID", problem, { details: { frames: badDelta.length } }));
  }

  /** Some frames may have been stored before. */
  #failed(err: AppError): void {
    const { have, table } = this.#options.target;
    const runs = [...have.runs(true, table.layout.pieceRows)];
    this.#options.swarm.step({ type: "stored", runs, source: "local" });
    this.#giveUp(err);
  }

  /** Frames of the delta that were damaged on the disk come again. */
  async #recheck(files: DeltaFiles, runs: readonly Run[]): Promise<void> {
    const lost = await files.recheck(runs);
    if (lost.length > 0) this.#open?.swarm.step({ type: "lost", runs: lost });
  }

  /** A delta is never needed: plain frames bring the same. Only a full disk stops those too. */
  #giveUp(err: AppError): void {
    if (this.#machine.isEnded) return;
    if (err.code === "ERR_STORE_FULL") {
      this.#options.onFault(err);
      return;
    }
    this.#options.logger.warn({ err }, "delta dropped");
    this.#step({ type: "end" });
  }

  #step(event: DeltaEvent): void {
    const { clock } = this.#options.context;
    for (const effect of this.#machine.step(event, clock.now())) this.#carryOut(effect);
    this.#wake.set(this.#machine.deadline());
  }

  #carryOut(effect: DeltaEffect): void {
    switch (effect.type) {
      case "hold":
        if (effect.rows === "all-frames") {
          this.#options.swarm.donate(this.#options.wanted ?? "all", this.#canPack);
        } else if (effect.rows === "yielded") this.#holdYielded();
        else this.#options.onReleased();
        return;
      case "be-patient":
        this.#options.swarm.step({ type: "beside-came" });
        return;
      case "search":
        this.#run(this.#search());
        return;
      case "leave":
        this.#leave();
        return;
    }
  }

  #look(): void {
    const { swarm } = this.#options;
    if (!this.#machine.looksForNeed) this.#step({ type: "tick" });
    else {
      const { isSettled, isFetchedElsewhere: isFetched } = swarm;
      this.#step({ type: "need", isSettled, isShort: this.#isShort(), hasPeers: swarm.links > 0, isFetched });
    }
  }

  /** A frame is missing that neither local data nor a connected peer has; and nobody promises, to who cannot pack. */
  #isShort(): boolean {
    const { swarm, target } = this.#options;
    const lacking = noRows(target);
    for (const { first, count } of this.#missing())
      for (let row = first; row < first + count; row++) {
        if (this.#local.has(row) || swarm.isOffered(row)) continue;
        // Who can pack promises as well: each would wait for the other.
        if (this.#canPack) return true;
        lacking.add(row);
      }
    return swarm.expected(lacking).coming < lacking.count;
  }

  /** What a row of the delta would yield is here, or on offer at peers: it need not cross the WAN. */
  #isSuperfluous(deltaRow: number): boolean {
    const { target, swarm, isNeeded } = this.#options;
    if (isNeeded?.() === false || (!this.#canPack && swarm.isFetchedElsewhere)) return true;
    const row = this.#yield?.targetRow(deltaRow);
    if (row === undefined) return false;
    return target.hasFrames({ first: row, count: 1 }) || this.#local.has(row) || swarm.isOffered(row);
  }

  /** Promises what the delta yields, if it can be packed here, and claims none of it. */
  #holdYielded(): void {
    const { swarm, target } = this.#options;
    const found = this.#yield;
    if (found === undefined) throw new Error("unreachable: what a delta yields is not known");
    const rows = decodedRows(target);
    const useful = [...found.useful()].filter((k) => !this.#useless.has(k));
    for (const run of found.targetRuns(useful)) rows.addRun(run);
    swarm.donate(
      rows,
      useful.every((k) => found.canPack(k)),
    );
  }

  #targetElsewhere(runs: readonly Run[] | undefined, isAsked: boolean): void {
    if (runs !== undefined && runs.length > 0) this.#options.swarm.step({ type: "elsewhere", runs, isAsked });
  }

  /** Frames of the target that are not here. */
  #missing(): readonly Run[] {
    const { target, wanted } = this.#options;
    const missing: Run[] = [];
    for (const run of missingFrames(target).runs())
      if (wanted === undefined) missing.push(run);
      else missing.push(...wanted.runs(true, run.first, run.count));
    return missing;
  }

  #noteBytes(files: DeltaFiles): void {
    const { idHex, head } = files.signed;
    this.#options.tally.note({ id: idHex, from: head.base.version, bytes: files.bytes });
  }

  #leave(): void {
    this.#abort.abort();
    this.#tellIndexHeld();
    this.#targetElsewhere([{ first: 0, count: this.#options.target.table.layout.rows }], false);
    if (this.#open !== undefined) this.#run(this.#shut(this.#open));
    this.#open = undefined;
  }

  async #shut({ found, base: start, files, swarm, leave }: OpenDelta): Promise<void> {
    leave();
    start.stop();
    this.#space = undefined;
    await swarm.close();
    await this.#yield?.close();
    await files.close();
    await start.close(this.#isKept);
    this.#noteBytes(files);
    const { name, version, base } = found.signed.head;
    if (!this.#isKept) await this.#options.context.store.removeDelta(name, version, base.version);
    this.#options.onProgress();
  }

  /** What an earlier run has left of deltas that this one did not need. */
  async #removeUnopened(): Promise<void> {
    const { name, version } = this.#options.target.signed.head;
    await this.#options.context.store.removeDeltasTo(name, version);
  }

  /** Keeps track of work; what it throws ends the delta. */
  #run(work: Promise<void>): void {
    const tracked = work
      .catch((err: unknown) => this.#giveUp(asAppError(err)))
      .finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}

function noRows({ table }: Pick<ImageRows, "table"> | Pick<DeltaFiles, "table">): Bitfield {
  return new Bitfield(table.layout.rows);
}
