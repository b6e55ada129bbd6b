import { type AppError, Bitfield, type Logger, type Run } from "@ckmesh/core";
import { canPackFor, type VersionFiles } from "@ckmesh/store";
import type { ClientContext } from "../client-context.js";
import { findDelta } from "../delta/chain-search.js";
import { type DeltaSpace, NO_DELTA_SPACE } from "../delta/delta-space.js";
import { openDeltaBase } from "../delta/delta-step.js";
import type { DeltaTally } from "../delta/delta-tally.js";
import { DeltaVersion } from "../delta/delta-version.js";
import { DonorVersion, needsDonor } from "../donor/donor-version.js";
import { combinePlans, type LocalPlanner } from "../local/combine-plans.js";
import { carryDecoded, decodedRows, isForDisk, keepsDecoded, missingFrames } from "../local/decoded-rows.js";
import type { IndexCarry } from "../local/index-carry.js";
import { type LocalPlan, planLocal } from "../local/local-plan.js";
import { joinSwarm, listSwarm, swarmBasics } from "../peers/peer-swarm.js";
import type { OriginRows } from "../rows/origin-rows.js";
import { NO_RATE, type VersionStatus } from "../status.js";
import { VersionSwarm } from "./version-swarm.js";
import type { Waste } from "./waste.js";

export interface VersionTransferOptions {
  readonly context: ClientContext;
  readonly files: VersionFiles;
  /** How rows come from the origin. */
  readonly rows: OriginRows;
  /** False: the origin only, no peers. */
  readonly swarms: boolean;
  /** Older versions of the image to take frames from, the best first; the last ones may lack some. */
  readonly older: readonly VersionFiles[];
  /** Counts what comes of deltas. */
  readonly tally: DeltaTally;
  /** Pieces of the index that may follow from an older one. */
  readonly indexCarry: IndexCarry | undefined;
  /** Frames of a folder outside of the store. */
  readonly staged: LocalPlanner | undefined;
  /**
   * Requires room for all that is still to come, `deltaSpace` included, and for so many bytes more.
   * @throws {AppError} ERR_STORE_FULL
   */
  readonly requireSpace: (moreBytes?: number) => Promise<void>;
  readonly waste: Waste;
  readonly logger: Logger;
  /** Something changed that a status would show. */
  readonly onProgress: () => void;
  /** Rows came from the swarm of the previous version. */
  readonly onDonated: () => void;
  /** Frames of an older version seem to be damaged. */
  readonly onDamaged: (older: VersionFiles, runs: readonly Run[]) => void;
  /** A peer says that the origin has a newer version. */
  readonly onNewer: (version: number, peerId: string) => void;
  /** Every row is held. */
  readonly onComplete: () => void;
  /** The work cannot go on: full disk, senseless index. */
  readonly onFault: (err: AppError) => void;
  /** The origin failed or served something else; the work goes on. */
  readonly onOriginError: (err: AppError) => void;
}

/**
 * What moves the rows of one version: its swarm, entered in the directory so that peers are found, and beside it,
 * where that helps, a delta or, where there is none, the swarm of the previous version.
 */
export class VersionTransfer {
  readonly swarm: VersionSwarm;
  readonly #options: VersionTransferOptions;
  #delta: DeltaVersion | undefined;
  #donor: DonorVersion | undefined;
  /** No source beside the swarm is wanted any more. */
  #isOver = false;
  #leave: (() => void) | undefined;

  constructor(options: VersionTransferOptions) {
    this.#options = options;
    const { context, files, rows, swarms, older, indexCarry, waste, logger } = options;
    this.swarm = new VersionSwarm({
      ...swarmBasics(context),
      files,
      rows,
      wan: context.wan,
      waste,
      ...(swarms && { join: joinSwarm(context, files) }),
      logger,
      ...(isForDisk(files, context.settings) && { isWanOpen: false }),
      indexCarry,
      holdsOlder: !files.isComplete && !isForDisk(files, context.settings) && older.length > 0,
      comesBeside: (row) => this.#donor?.awaitsUpdate === true && !files.table.layout.isPiece(row),
      onHeld: (runs) => {
        this.#delta?.held(runs);
        this.#donor?.held(runs);
      },
      onAsked: (asked, isAsked) => {
        this.#delta?.asked([asked], isAsked);
        this.#donor?.asked(asked, isAsked);
      },
      planLocal: (signal) => this.#planLocal(signal),
      needsIds: this.#trim !== undefined,
      onProgress: options.onProgress,
      onNewer: options.onNewer,
      onComplete: options.onComplete,
      onFault: options.onFault,
      onOriginError: options.onOriginError,
    });
  }

  /** Bytes per second, those of a delta and of the previous version included. */
  get rate(): VersionStatus["rate"] {
    const { peers, origin } = this.#delta?.rate ?? NO_RATE;
    return {
      peers: this.swarm.peersRate.rate + (this.#donor?.rate ?? 0) + peers,
      origin: this.swarm.originRate.rate + origin,
    };
  }

  /** What a delta will still take in the store, and what is made of it beside the pack. */
  get deltaSpace(): DeltaSpace {
    return this.#delta?.space ?? NO_DELTA_SPACE;
  }

  start(): void {
    const { context, files, swarms } = this.#options;
    const { swarm } = this;
    if (swarms) this.#leave = listSwarm(context, files, swarm);
    swarm.start();
    if (isForDisk(files, context.settings)) {
      this.#isOver = true;
      this.#donateDecoded();
      return;
    }
    this.#startDelta();
    if (this.#delta === undefined) this.#startDonor();
  }

  /** The version is complete, or its disk can be made: leaves the swarms beside its own. Safe to call twice. */
  async finishBeside(): Promise<void> {
    this.#isOver = true;
    // What such a version lacks is not worth the WAN; of a complete one rows may turn out damaged.
    const { files, context } = this.#options;
    this.swarm.setWanOpen(!isForDisk(files, context.settings));
    this.#delta?.finish(files.isComplete);
    await this.#donor?.close();
    this.#donor = undefined;
  }

  /** Leaves the swarms beside its own, before anything that they need goes. Safe to call twice. */
  async closeBeside(): Promise<void> {
    this.#isOver = true;
    await this.#delta?.close();
    await this.#donor?.close();
    this.#delta = undefined;
    this.#donor = undefined;
  }

  /** A version that is here may lead to this one; only while this one is incomplete. */
  #startDelta(): void {
    const { context, files, swarms, older, requireSpace, waste, tally, logger } = this.#options;
    const { onDonated, onDamaged, onFault } = this.#options;
    const { head } = files.signed;
    if (files.isComplete || older.length === 0 || !(this.#keepsDecoded || canPackFor(head))) return;
    this.#delta = new DeltaVersion({
      context,
      target: files,
      find: (missingBytes, signal) =>
        findDelta({ context, target: files, bases: older, missingBytes, logger, signal }),
      openBase: openDeltaBase,
      swarm: this.swarm,
      swarms: swarms && (context.isOriginPrivate || context.peers.allowOpenSwarm),
      keepsDecoded: this.#keepsDecoded,
      requireSpace,
      waste,
      tally,
      logger,
      onProgress: onDonated,
      onReleased: () => {
        // At its end nothing is released: what was promised would be fetched meanwhile.
        if (!this.#isOver && !this.#startDonor()) this.#donateDecoded();
      },
      onDamaged,
      onFault,
    });
  }

  /** @returns false: there is nothing to join */
  #startDonor(): boolean {
    const { context, files, swarms, older, waste, logger, onDonated, onFault } = this.#options;
    if (this.#isOver || !swarms || !needsDonor(files, older[0], context)) return false;
    const { swarm } = this;
    const options = { context, target: files, swarm, waste, logger, onProgress: onDonated, onFault };
    this.#donor = new DonorVersion(options);
    return true;
  }

  /** Frames that are here decoded come from peers or not at all. */
  #donateDecoded(): void {
    const { files } = this.#options;
    const rows = this.#keepsDecoded ? decodedRows(files) : new Bitfield(files.table.layout.rows);
    this.swarm.donate(rows, false);
  }

  get #keepsDecoded(): boolean {
    return keepsDecoded(this.#options.files, this.#options.context.settings);
  }

  /** Where it is switched on, and the publisher has made the image for it. */
  get #trim(): ClientContext["trim"] {
    const { context, files } = this.#options;
    const isOn = context.trim?.isOnFor(files.signed.head.name) === true;
    return isOn && files.table.layout.section("ids") !== undefined ? context.trim : undefined;
  }

  /** Where frames may lie on this machine, the cheapest source first. */
  async #planLocal(signal: AbortSignal): Promise<LocalPlan> {
    const { context, files, older, logger, staged } = this.#options;
    const { store, openPacks } = context;
    if (this.#keepsDecoded) {
      const { requireSpace } = this.#options;
      await carryDecoded(files, older, { requireSpace, logger });
      this.#options.onDonated(); // perhaps nothing else is missing
    }
    const trim = this.#trim;
    const planners: LocalPlanner[] = [
      (missing) => planLocal({ files, store, openPack: (pack) => openPacks.get(pack), logger }, missing),
      ...(staged === undefined ? [] : [staged]),
    ];
    if (trim !== undefined) planners.push((missing) => trim.plan(files, missing, signal));
    const plan = await combinePlans(planners, missingFrames(files), logger);
    this.#delta?.planned(plan.rows);
    return {
      ...plan,
      copy: async (ended, onStored) => {
        await plan.copy(ended, onStored);
        this.#delta?.localDone();
      },
    };
  }

  /** Leaves all swarms. Safe to call twice. */
  async close(): Promise<void> {
    await this.closeBeside();
    this.#leave?.();
    this.#leave = undefined;
    await this.swarm.close();
  }
}
