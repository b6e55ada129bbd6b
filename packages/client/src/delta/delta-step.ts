import { type AppError, Bitfield, type Run } from "@ckmesh/core";
import { DeltaRefs, deriveSwarmKeys, referredFrames } from "@ckmesh/image";
import type { DeltaFiles, StepFiles, VersionFiles } from "@ckmesh/store";
import { DELTA_NEED_LOOK_MS, DELTA_REFUSED_MS } from "@ckmesh/swarm";
import { asAppError } from "../as-app-error.js";
import { carryDecoded } from "../local/decoded-rows.js";
import { IndexCarry } from "../local/index-carry.js";
import { type LocalPlan, planLocal } from "../local/local-plan.js";
import { joinSwarm, listSwarm, swarmBasics } from "../peers/peer-swarm.js";
import { NO_RATE } from "../status.js";
import { VersionSwarm } from "../version/version-swarm.js";
import { type DeltaBase, type DeltaUse, heldBase, STEP_SECTIONS } from "./delta-base.js";
import { olderOriginRows } from "./delta-origin-rows.js";
import { deltaBytes, isRefusal, type VersionBetween } from "./delta-search.js";
import { DeltaVersion } from "./delta-version.js";
import { EqualFrames } from "./equal-frames.js";

/** Opens what a delta starts from: a version that is here, or a step to it. */
export async function openDeltaBase(base: VersionFiles | VersionBetween, use: DeltaUse): Promise<DeltaBase> {
  return "delta" in base ? await DeltaStep.open(base, use) : heldBase(base, use);
}

/**
 * A version between, of which those frames are brought here that the delta from it needs, and those that the version
 * after it has too: out of local packs, by the delta that leads to it, and what that leaves out as it is. All of it is
 * shared with those of the site who go the same way, and with those who have the version whole.
 */
class DeltaStep implements DeltaBase {
  readonly files: StepFiles;
  readonly #between: VersionBetween;
  readonly #use: DeltaUse;
  readonly #work = new Set<Promise<void>>();
  /** Refs of the delta that starts here; undefined: nothing is wanted any more. */
  readonly #refs: Promise<DeltaRefs | undefined>;
  #tellRefs: (refs: DeltaRefs | undefined) => void = () => {};
  readonly #brought: Promise<boolean>;
  #tellBrought: (isHere: boolean) => void = () => {};
  #swarm: VersionSwarm | undefined;
  #leave: () => void = () => {};
  #delta: DeltaVersion | undefined;
  #equal: EqualFrames | undefined;
  /** Rows that are to be here; undefined: not known yet. */
  #wantedRows: Bitfield | undefined;
  #isStopped = false;
  #isDropped = false;
  /** A frame of the target is missing that peers do not offer: looked at now and then. */
  #isNeeded = true;
  #cancelLook: () => void = () => {};
  #cancelRefusal: (() => void) | undefined;

  private constructor(between: VersionBetween, use: DeltaUse, files: StepFiles) {
    this.#between = between;
    this.#use = use;
    this.files = files;
    this.#refs = new Promise((resolve) => {
      this.#tellRefs = resolve;
    });
    this.#brought = new Promise((resolve) => {
      this.#tellBrought = resolve;
    });
  }

  /** @throws {AppError} ERR_STORE_FULL */
  static async open(between: VersionBetween, use: DeltaUse): Promise<DeltaStep> {
    const { name, version } = use.target.signed.head;
    const files = await use.context.store.openStep(name, version, between.block);
    const step = new DeltaStep(between, use, files);
    step.#run(step.#start());
    return step;
  }

  get rate(): DeltaBase["rate"] {
    const { peers, origin } = this.#delta?.rate ?? NO_RATE;
    const swarm = this.#swarm;
    return {
      peers: peers + (swarm?.peersRate.rate ?? 0),
      origin: origin + (swarm?.originRate.rate ?? 0),
    };
  }

  /** The version before, where it is here. */
  get #older(): VersionFiles | undefined {
    const { base } = this.#between.delta;
    return "delta" in base ? undefined : base;
  }

  get spaceNeeded(): number {
    const delta = this.#delta?.space.delta ?? deltaBytes(this.#between.delta.signed.head);
    return delta + this.#missing().reduce((sum, run) => sum + this.files.table.runLength(run), 0);
  }

  async bring(delta: DeltaFiles): Promise<boolean> {
    this.#tellRefs(new DeltaRefs(await delta.section("refs"), delta.signed.head.counts.frames));
    return await this.#brought;
  }

  /** What needed them comes as it is: they are not worth fetching again. */
  damaged(runs: readonly Run[]): void {
    this.#run(this.#drop(runs));
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelLook();
    this.#cancelRefusal?.();
    this.#tellRefs(undefined);
    this.#tellBrought(false);
  }

  async close(isKept: boolean): Promise<void> {
    this.stop();
    if (!isKept) this.#delta?.finish(true);
    await this.#delta?.close();
    await this.#swarm?.close();
    await this.#equal?.close();
    // Only now: until then nobody else here may join it.
    this.#leave();
    this.#leave = () => {};
    while (this.#work.size > 0) await Promise.all(this.#work);
    await this.files.close();
    this.#noteBytes();
  }

  /** Joins the swarm of the version; its index may follow in part from that of the one before. */
  async #start(): Promise<void> {
    const { context, waste, swarms, logger } = this.#use;
    const { files } = this;
    const indexCarry = await IndexCarry.attempt(files, this.#older, logger, STEP_SECTIONS);
    if (this.#isStopped) return;
    const isShared = swarms && !this.#isJoined();
    const swarm = new VersionSwarm({
      ...swarmBasics(context),
      files,
      rows: olderOriginRows(context.origin, files),
      wan: context.wan,
      waste,
      ...(isShared && { join: joinSwarm(context, files) }),
      logger,
      indexCarry,
      holdsOlder: false,
      sections: STEP_SECTIONS,
      planLocal: () => this.#plan(),
      comesBeside: () => !this.#isNeeded,
      onHeld: (runs) => this.#came(runs),
      onAsked: (rows, isAsked) => this.#delta?.asked([rows], isAsked),
      onProgress: this.#use.onProgress,
      onComplete: () => this.#run(this.#finish()),
      onFault: (err) => this.#fault(err),
      onOriginError: (err) => this.#refused(err),
    });
    this.#swarm = swarm;
    if (isShared) this.#leave = listSwarm(context, files, swarm);
    // Whoever has it, or goes the same way, is among those who have the target.
    swarm.step({ type: "candidates", source: "peers", peers: this.#use.swarm.peers, complete: true });
    swarm.start();
  }

  /** The frame table is known: which of its frames are wanted, and where do they come from? */
  async #plan(): Promise<LocalPlan> {
    const { files } = this;
    const { context, logger, target } = this.#use;
    const refs = await this.#refs;
    const none: LocalPlan = { rows: noRows(files), wanted: noRows(files), copy: async () => {} };
    if (refs === undefined || files.frames === undefined) return none;
    const wanted = await this.#wanted(refs);
    this.#wantedRows = wanted;
    const missing = noRows(files);
    for (const run of this.#missing()) missing.addRun(run);
    const { requireSpace } = this.#use;
    if (this.#older !== undefined)
      await carryDecoded(files, [this.#older], { wanted: missing, requireSpace, logger });
    // The delta that starts here does with those.
    for (const row of files.decodedRows()) {
      wanted.delete(row);
      missing.delete(row);
    }
    await requireSpace();
    const { store, openPacks } = context;
    const plan = await planLocal({ files, store, openPack: (pack) => openPacks.get(pack), logger }, missing);
    if (this.#isStopped) return none;
    const { version } = files.signed.head;
    logger.info(
      { from: version, to: target.signed.head.version, frames: wanted.count, local: plan.rows.count },
      "step of deltas begun",
    );
    const delta = this.#startDelta(wanted);
    delta.planned(plan.rows);
    this.#look();
    return {
      ...plan,
      wanted,
      copy: async (signal, onStored) => {
        await plan.copy(signal, onStored);
        delta.localDone();
      },
    };
  }

  /** Rows of what the delta refers to, and of what the target has too. @throws {AppError} ERR_INDEX_INVALID */
  async #wanted(refs: DeltaRefs): Promise<Bitfield> {
    const { files } = this;
    const { target, lacks, swarm, logger } = this.#use;
    const { pieceRows } = files.table.layout;
    if (files.frames === undefined) throw new Error("unreachable: a step without its frame table");
    const isUsed = (k: number): boolean => lacks(target.table.layout.pieceRows + refs.targetFrame(k));
    const referred = referredFrames(refs, files.frames, isUsed);
    const wanted = noRows(files);
    for (const { first, count } of referred.runs()) wanted.addRun({ first: pieceRows + first, count });
    this.#equal = await EqualFrames.find({
      from: files,
      to: target,
      lacks,
      onStored: (runs) => {
        swarm.step({ type: "stored", runs, source: "local" });
        this.#use.onProgress();
      },
      onFault: (err) => this.#fault(err),
      logger,
    });
    if (this.#isStopped) return wanted;
    for (const row of this.#equal.wanted()) wanted.add(row);
    this.#equal.came([...files.have.runs(true, pieceRows)]);
    return wanted;
  }

  /** Runs of what is wanted and not here. */
  #missing(): readonly Run[] {
    const missing: Run[] = [];
    for (const { first, count } of this.#wantedRows?.runs() ?? [])
      missing.push(...this.files.have.runs(false, first, count));
    return missing;
  }

  /** The delta that leads here; without it all of it is in vain. */
  #startDelta(wanted: Bitfield): DeltaVersion {
    const swarm = this.#swarm;
    if (swarm === undefined) throw new Error("unreachable: a step without its swarm");
    const { swarm: targetSwarm } = this.#use;
    const { context, swarms, requireSpace, waste, tally, logger, openBase } = this.#use;
    const { onProgress, onDamaged, onFault } = this.#use;
    const delta = new DeltaVersion({
      context,
      swarms,
      requireSpace,
      waste,
      tally,
      logger,
      openBase,
      onProgress,
      onDamaged,
      onFault,
      target: this.files,
      wanted,
      find: () => Promise.resolve(this.#between.delta),
      keepsDecoded: false, // no way leads over versions that cannot be packed here
      swarm: {
        step: (event) => {
          swarm.step(event);
          if (event.type === "beside-came") targetSwarm.step(event);
        },
        donate: (rows, isSure) => swarm.donate(rows, isSure),
        isOffered: (row) => swarm.isOffered(row),
        expected: (rows) => swarm.expected(rows),
        get isFetchedElsewhere() {
          return swarm.isFetchedElsewhere;
        },
        get isSettled() {
          return swarm.isSettled;
        },
        get links() {
          return swarm.links;
        },
        get peers() {
          return targetSwarm.peers;
        },
      },
      isNeeded: () => this.#isNeeded,
      onReleased: () => this.#lost(),
    });
    this.#delta = delta;
    return delta;
  }

  #came(runs: readonly Run[]): void {
    this.#cancelRefusal?.();
    this.#cancelRefusal = undefined;
    this.#noteBytes();
    this.#use.swarm.step({ type: "beside-came" });
    this.#delta?.held(runs);
    this.#equal?.came(runs);
  }

  /** All that is wanted of it is held. */
  async #finish(): Promise<void> {
    this.#cancelLook();
    this.#equal?.came([...this.files.have.runs(true, this.files.table.layout.pieceRows)]);
    await this.#equal?.copied();
    await this.files.checkpoint();
    this.#tellBrought(true);
  }

  async #drop(runs: readonly Run[]): Promise<void> {
    await this.files.recheck(runs);
  }

  /** While peers offer all that is missing of the target, nothing of the step has to come over the WAN. */
  #look(): void {
    const { isNeeded, isShort } = this.#use;
    this.#isNeeded = isNeeded?.() !== false && isShort();
    this.#swarm?.step({ type: "tick" });
    this.#cancelLook = this.#use.context.clock.after(DELTA_NEED_LOOK_MS, () => this.#look());
  }

  /** The origin does not give out the version, or another one under its name. */
  #refused(err: AppError): void {
    this.#use.logger.debug({ err }, "step not fetched at the origin");
    if (!isRefusal(err.code) || this.#isStopped) return;
    this.#cancelRefusal ??= this.#use.context.clock.after(DELTA_REFUSED_MS, () => this.#fault(err));
  }

  /** A step is never needed: plain frames bring the same, and take less room. */
  #fault(err: AppError): void {
    if (this.#isStopped || this.#isDropped) return;
    this.#isDropped = true;
    this.#use.logger.warn(
      { err, version: this.files.signed.head.version },
      "way over several deltas dropped",
    );
    this.#lost();
  }

  #lost(): void {
    this.#tellBrought(false);
  }

  #noteBytes(): void {
    const { idHex, head } = this.files.signed;
    this.#use.tally.note({ id: idHex, from: head.version, bytes: this.files.bytes });
  }

  /** Is there a member of this swarm already? Then it is somebody else's here. */
  #isJoined(): boolean {
    const { secret } = this.files.signed.head;
    const { swarm: own } = deriveSwarmKeys(secret, this.files.signed.id);
    return this.#use.context.peers.directory.members.some(({ swarm }) => Buffer.compare(swarm, own) === 0);
  }

  #run(work: Promise<void>): void {
    const tracked = work
      .catch((err: unknown) => this.#fault(asAppError(err)))
      .finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}

function noRows({ table }: Pick<StepFiles, "table">): Bitfield {
  return new Bitfield(table.layout.rows);
}
