import { type AppError, Bitfield, type Logger } from "@ckmesh/core";
import { deriveSwarmKeys } from "@ckmesh/image";
import type { VersionFiles } from "@ckmesh/store";
import type { ClientContext } from "./client-context.js";
import { combinePlans, type LocalPlanner } from "./combine-plans.js";
import { DonorVersion, needsDonor } from "./donor-version.js";
import type { IndexCarry } from "./index-carry.js";
import { type LocalPlan, planLocal } from "./local-plan.js";
import type { OriginRows } from "./origin-rows.js";
import type { StagedSource } from "./staging/staged-source.js";
import { VersionSwarm } from "./version-swarm.js";
import type { Waste } from "./waste.js";

export interface VersionTransferOptions {
  readonly context: ClientContext;
  readonly files: VersionFiles;
  /** How rows come from the origin. */
  readonly rows: OriginRows;
  /** False: the origin only, no peers. */
  readonly swarms: boolean;
  /** The newest complete version of the image, if any. */
  readonly previous: VersionFiles | undefined;
  /** Pieces of the index that may follow from an older one. */
  readonly indexCarry: IndexCarry | undefined;
  /** A pair of this version outside of the store. */
  readonly staged: StagedSource | undefined;
  readonly waste: Waste;
  readonly logger: Logger;
  /** Something changed that a status would show. */
  readonly onProgress: () => void;
  /** Rows came from the swarm of the previous version. */
  readonly onDonated: () => void;
  /** Every row is held. */
  readonly onComplete: () => void;
  /** The work cannot go on: full disk, senseless index. */
  readonly onFault: (err: AppError) => void;
  /** The origin failed or served something else; the work goes on. */
  readonly onOriginError: (err: AppError) => void;
}

/**
 * What moves the rows of one version: its swarm, entered in the directory so that peers are found, and the swarm
 * of the previous version beside it where that helps.
 */
export class VersionTransfer {
  readonly swarm: VersionSwarm;
  readonly #options: VersionTransferOptions;
  #donor: DonorVersion | undefined;
  #leave: (() => void) | undefined;

  constructor(options: VersionTransferOptions) {
    this.#options = options;
    const { context, files, rows, swarms, previous, indexCarry, waste, logger } = options;
    const { peers, clock, random } = context;
    this.swarm = new VersionSwarm({
      files,
      rows,
      wan: context.wan,
      waste,
      peerId: peers.identity.peerIdHex,
      peerClass: peers.peerClass,
      peerPort: peers.port,
      allowLoopback: peers.allowLoopback,
      identity: peers.identity,
      ...(swarms && {
        join: (onPeer) =>
          peers.transport.addSwarm({
            versionId: files.signed.id,
            ...swarmKeysOf(files),
            layout: {
              rows: files.table.layout.rows,
              rowsLength: (first, length) => files.table.rowsIn(first, length),
            },
            onPeer: (link) => {
              peers.met(link);
              onPeer(link);
            },
          }),
      }),
      clock,
      random,
      logger,
      indexCarry,
      holdsOlder: !files.isComplete && previous !== undefined,
      onHeld: (runs) => this.#donor?.held(runs),
      onAsked: (asked, isAsked) => this.#donor?.asked(asked, isAsked),
      planLocal: (signal) => this.#planLocal(signal),
      needsIds: this.#trim !== undefined,
      onProgress: options.onProgress,
      onComplete: options.onComplete,
      onFault: options.onFault,
      onOriginError: options.onOriginError,
      onPeerLinked: peers.remember,
    });
  }

  /** Bytes per second from peers, those of the previous version included. */
  get peersRate(): number {
    return this.swarm.peersRate.rate + (this.#donor?.rate ?? 0);
  }

  start(): void {
    const { context, files, swarms, previous, waste, logger, onDonated, onFault } = this.#options;
    const { swarm } = this;
    if (swarms) {
      this.#leave = context.peers.directory.add({
        swarm: swarmKeysOf(files).swarm,
        have: () => ({ have: files.have.count, rows: files.table.layout.rows }),
        step: (event) => {
          swarm.step(event);
        },
      });
    }
    swarm.start();
    if (swarms && needsDonor(files, previous, context)) {
      this.#donor = new DonorVersion({
        context,
        target: files,
        swarm,
        waste,
        logger,
        onProgress: onDonated,
        onFault,
      });
    }
  }

  /** Leaves the swarm of the previous version: what it can bring is here. Safe to call twice. */
  async closeDonor(): Promise<void> {
    await this.#donor?.close();
    this.#donor = undefined;
  }

  /** Where it is switched on, and the publisher has made the image for it. */
  get #trim(): ClientContext["trim"] {
    const { context, files } = this.#options;
    const isOn = context.trim?.isOnFor(files.signed.head.name) === true;
    return isOn && files.table.layout.section("ids") !== undefined ? context.trim : undefined;
  }

  /** Where frames may lie on this machine, the cheapest source first. */
  async #planLocal(signal: AbortSignal): Promise<LocalPlan> {
    const { context, files, logger, staged } = this.#options;
    const { store, openPacks } = context;
    const trim = this.#trim;
    const planners: LocalPlanner[] = [
      (missing) => planLocal({ files, store, openPack: (pack) => openPacks.get(pack), logger }, missing),
      ...(staged === undefined ? [] : [staged.plan]),
    ];
    if (trim !== undefined) planners.push((missing) => trim.plan(files, missing, signal));
    return await combinePlans(planners, missingFrames(files), logger);
  }

  /** Leaves all swarms. Safe to call twice. */
  async close(): Promise<void> {
    await this.closeDonor();
    this.#leave?.();
    this.#leave = undefined;
    await this.swarm.close();
  }
}

function missingFrames({ table, have }: VersionFiles): Bitfield {
  const missing = new Bitfield(table.layout.rows);
  for (const run of have.runs(false, table.layout.pieceRows)) missing.addRun(run);
  return missing;
}

function swarmKeysOf({ signed }: VersionFiles): ReturnType<typeof deriveSwarmKeys> {
  return deriveSwarmKeys(signed.head.secret, signed.id);
}
