import { join } from "node:path";
import { type AppError, isAppError, type Logger, type Run } from "@ckmesh/core";
import { decodeHead, type SignedHead } from "@ckmesh/image";
import {
  NO_SOURCE_BYTES,
  packKey,
  provenFormat,
  type ShedPack,
  shedPack,
  type VersionFiles,
  type VersionRecord,
  type VersionState,
} from "@ckmesh/store";
import { callsForCheck } from "../access-lost.js";
import { asAppError } from "../as-app-error.js";
import { NO_DELTA_SPACE } from "../delta/delta-space.js";
import { DeltaTally } from "../delta/delta-tally.js";
import { regainPack } from "../disk/regain-pack.js";
import { SpaceWatch } from "../disk/space-watch.js";
import { isForDisk } from "../local/decoded-rows.js";
import { IndexCarry } from "../local/index-carry.js";
import { OriginRows } from "../rows/origin-rows.js";
import type { StagedPair } from "../staging/staged-pair.js";
import { VersionStaging } from "../staging/version-staging.js";
import { NO_RATE, type StatusError, type VersionStatus } from "../status.js";
import { ByteCounts } from "./byte-counts.js";
import { neededBytes } from "./needed-bytes.js";
import { RetryTimer } from "./retry-timer.js";
import type { VersionDriverOptions } from "./version-driver-options.js";
import { VersionTransfer } from "./version-transfer.js";
import { Waste } from "./waste.js";
import { whyNoSwarm } from "./why-no-swarm.js";

/** How often it is looked whether a pair has been copied to the pre-stage folder by now. */
const STAGING_MS = 5000;

/**
 * One version on this machine: idle (available, proposed) → fetching → complete, and then serving peers. The
 * states that follow (staged, active, superseded) are set by the image.
 */
export class VersionDriver {
  readonly signed: SignedHead;
  readonly #options: VersionDriverOptions;
  readonly #logger: Logger;
  readonly #waste: Waste;
  readonly #counts: ByteCounts;
  readonly #staging: VersionStaging;
  readonly #tally: DeltaTally;
  readonly #abort = new AbortController();
  readonly #retry: RetryTimer;
  readonly #space: SpaceWatch;
  #state: VersionState;
  #disk: string | undefined;
  #shed: ShedPack | undefined;
  #error: StatusError | undefined;
  #files: VersionFiles | undefined;
  #transfer: VersionTransfer | undefined;
  /** Aborted when the transfer is to stop: then its pack is not proven to the end first. */
  #proof = new AbortController();
  #busy: Promise<void> = Promise.resolve();
  #regaining: Promise<void> | undefined;
  /** That all is here for a disk has been said, or need not be. */
  #isForDiskTold = false;
  #isFailed = false;
  #isBarred = false;

  constructor(options: VersionDriverOptions) {
    this.#options = options;
    const { record, context } = options;
    this.signed = decodeHead(options.headBlock);
    this.#logger = context.logger.child({ image: this.signed.head.name, version: this.signed.head.version });
    this.#staging = new VersionStaging({
      signed: this.signed,
      folder: context.staging,
      io: context.store.background.io,
      clock: context.clock,
      logger: this.#logger,
    });
    this.#space = new SpaceWatch({
      ...context,
      format: () => (this.#disk === undefined ? context.settings.materialize : "off"),
      base: options.base,
      logger: this.#logger,
      delta: () => this.#transfer?.deltaSpace ?? NO_DELTA_SPACE,
      onFault: (err) => this.#stopFor(err),
    });
    this.#waste = new Waste(record.wasted);
    this.#tally = new DeltaTally(record.deltas);
    this.#counts = new ByteCounts(context.metrics, this.#logger, record.wasted);
    this.#retry = new RetryTimer(context.clock, context.random, () => this.#then(() => this.#start()));
    this.#state = record.state;
    this.#disk = record.disk;
    this.#shed = record.shed;
    this.#error = record.error;
  }

  get version(): number {
    return this.signed.head.version;
  }

  get headBlock(): Uint8Array {
    return this.#options.headBlock;
  }

  get state(): VersionState {
    return this.#state;
  }

  get files(): VersionFiles | undefined {
    return this.#files;
  }

  /** All of it is proven and here: its pack, or the disk that it was given up for, or what a disk is made of. */
  get isComplete(): boolean {
    const files = this.#files;
    return this.isShed || (files !== undefined && (files.isComplete || this.#isForDisk(files)));
  }

  /** It has its disk and its index only: `regain` makes its pack again. */
  get isShed(): boolean {
    return this.#shed !== undefined;
  }

  /** It will not be tried again as it is: the publisher has to act. */
  get isFailed(): boolean {
    return this.#isFailed;
  }

  /** It stopped and will be tried again after a pause. */
  get isStopped(): boolean {
    return this.#retry.isSet;
  }

  get error(): StatusError | undefined {
    return this.#error;
  }

  get disk(): string | undefined {
    return this.#disk;
  }

  get record(): VersionRecord {
    return {
      version: this.version,
      id: this.signed.idHex,
      state: this.#state,
      isPrivate: this.#options.record.isPrivate,
      isFramesIndex: this.#options.record.isFramesIndex,
      wasted: this.#waste.bytes,
      ...this.#tally.record,
      ...(this.#disk !== undefined && { disk: this.#disk }),
      ...(this.#shed !== undefined && { shed: this.#shed }),
      ...(this.#error !== undefined && { error: this.#error }),
    };
  }

  /** The image moves the version on: staged, active, superseded. */
  setState(state: VersionState, disk?: string): void {
    if (disk !== undefined) this.#disk = disk;
    if (this.#state !== state) {
      this.#logger.info({ from: this.#state, to: state }, "version changed state");
      this.#options.context.metrics.versions.add(1, { state });
    }
    this.#state = state;
    this.#options.onChanged();
    const files = this.#files;
    if (files?.have.isFull === true && this.#isForDisk(files)) this.#then(() => this.#finish(files));
  }

  setError(err: AppError | undefined): void {
    this.#error = err === undefined ? undefined : { code: err.code, message: err.message };
    this.#options.onChanged();
  }

  /** Opens the files and works until they are complete, then serves them. Safe to call again. */
  start(): Promise<void> {
    this.#busy = this.#busy.then(() => this.#start());
    return this.#busy;
  }

  /** Takes what is in a pair outside of the store, too; one under way begins anew with it. */
  async import(pair: StagedPair): Promise<void> {
    this.#staging.hand(pair);
    await this.pause();
    await this.start();
  }

  /** A pair may have come to the pre-stage folder since this version was begun, or have been put right there. */
  async lookAtStaging(): Promise<void> {
    if (this.#staging.awaitsPair) await this.start();
    if (this.#transfer === undefined || this.isComplete || !(await this.#staging.hasNews())) return;
    await this.pause();
    await this.start();
  }

  status(): VersionStatus {
    const files = this.#files;
    const { importing } = this.#staging;
    const spaceNeeded = this.#space.needed;
    return {
      version: this.version,
      id: this.signed.idHex,
      state: this.#state,
      swarming: whyNoSwarm(this.#options, this.#isBarred) ?? true,
      haveRows: files?.have.count ?? this.#shed?.rows ?? 0,
      rows: files?.table.layout.rows ?? 0,
      needed: neededBytes(this.signed.head) + this.#tally.needed,
      bytes: this.#tally.add(files?.bytes ?? this.#shed?.bytes ?? NO_SOURCE_BYTES),
      wasted: this.#waste.bytes,
      rate: this.#transfer?.rate ?? NO_RATE,
      peers: this.#transfer?.swarm.links ?? 0,
      ...(this.#disk !== undefined && { disk: this.#disk }),
      ...(this.isShed && { packShed: true }),
      ...(this.#disk === undefined && spaceNeeded !== undefined && { spaceNeeded }),
      ...(importing !== undefined && !this.isComplete && { importing }),
      ...(this.#error !== undefined && { error: this.#error }),
    };
  }

  /**
   * Whether the origin lets this machine read the image. If not, it leaves the swarm, asks neither peers nor the
   * origin for rows, and serves nobody; what is here stays, and stays in use. Once admitted, `start` goes on.
   */
  async admit(isAdmitted: boolean): Promise<void> {
    this.#isBarred = !isAdmitted;
    if (!isAdmitted) await this.pause();
  }

  /** Looks whether rows are damaged, as it seems; those that are come again. */
  recheck(runs: readonly Run[]): void {
    this.#then(async () => {
      const lost = await this.#files?.recheck(runs);
      if (lost !== undefined && lost.length > 0) this.#transfer?.swarm.step({ type: "lost", runs: lost });
    });
  }

  /** Stops transfers; the files stay open as a source for other versions. `start` goes on. */
  async pause(): Promise<void> {
    this.#retry.stop();
    this.#proof.abort();
    await this.#busy;
    await this.#stopTransfer();
    await this.#files?.checkpoint();
  }

  /**
   * Gives up the pack of a complete version whose disk is as it was proven: nobody gets rows of it any more.
   * @param save what `record` says: before the pack goes, or a crash in between would leave nothing of it
   */
  async shed(save: () => Promise<void>): Promise<void> {
    const [files, disk] = [this.#files, this.#disk];
    if (files?.isComplete !== true || disk === undefined) return;
    const path = join(this.#options.context.store.folder(this.signed.head.name), disk);
    if ((await provenFormat(path, this.signed.idHex)) === undefined) return;
    await this.pause();
    this.#shed = { rows: files.have.count, bytes: files.bytes };
    try {
      await save();
      this.#options.context.openPacks.delete(this.#packKey());
      this.#files = undefined;
      this.#space.forget();
      await files.close();
      const keptBytes = await shedPack(files.paths);
      this.#logger.info({ keptBytes }, "pack given up: the disk holds its frames");
    } catch (err) {
      this.#shed = undefined;
      await this.start();
      throw err;
    }
    this.#options.onChanged();
  }

  /** Makes the pack again, from the disk: it is a source of frames then, whole or in part, and serves nobody yet. */
  regain(stop: AbortSignal = this.#abort.signal): Promise<void> {
    // Whoever wants it meanwhile waits for this one.
    this.#regaining ??= this.#regain(stop).finally(() => {
      this.#regaining = undefined;
    });
    return this.#regaining;
  }

  async #regain(stop: AbortSignal): Promise<void> {
    const { context, headBlock } = this.#options;
    if (this.#shed === undefined || this.#disk === undefined) return;
    const [logger, signal] = [this.#logger, AbortSignal.any([this.#abort.signal, stop])];
    const files = await regainPack({ context, headBlock, disk: this.#disk, logger, signal });
    if (files === undefined) return;
    this.#files = files;
    this.#shed = undefined;
    context.openPacks.set(this.#packKey(), files);
    await context.store.noteFrames(files);
    this.#options.onChanged();
  }

  /** Stops transfers and closes the files; whole rows stay on the disk. Safe to call twice. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#retry.stop();
    await this.#busy;
    await this.#stopTransfer();
    this.#options.context.openPacks.delete(this.#packKey());
    await this.#files?.close();
  }

  async #start(): Promise<void> {
    if (this.#abort.signal.aborted || this.#isBarred || this.#transfer !== undefined || this.isShed) return;
    const { context } = this.#options;
    try {
      if (this.#files === undefined) {
        this.#files = await context.store.openVersion(this.signed.head.name, this.#options.headBlock);
        context.openPacks.set(this.#packKey(), this.#files);
        this.#countBytes();
      }
      const files = this.#files;
      this.#error = undefined;
      if (files.isComplete || this.#isForDisk(files)) {
        this.#isForDiskTold = true;
        if (this.#state === "available" || this.#state === "proposed" || this.#state === "fetching")
          this.setState("verified");
        this.#startTransfer(files, undefined);
        this.#options.onVerified();
        await context.store.noteFrames(files);
        return;
      }
      await this.#space.require(files);
      this.setState("fetching");
      if (!(await this.#staging.begin(files))) {
        this.#retry.set(STAGING_MS);
        return;
      }
      this.#countBytes();
      const carry = await IndexCarry.attempt(files, this.#options.older()[0], this.#logger);
      this.#startTransfer(files, carry);
    } catch (err) {
      this.#fault(asAppError(err));
    }
  }

  #startTransfer(files: VersionFiles, indexCarry: IndexCarry | undefined): void {
    if (this.#abort.signal.aborted) return;
    const { context, aliasEtag, record } = this.#options;
    const onDonated = (): void => {
      this.#countBytes();
      this.#lookForDisk(files);
    };
    const transfer = new VersionTransfer({
      context,
      files,
      rows: new OriginRows({
        origin: context.origin,
        files,
        logger: this.#logger,
        ...(aliasEtag !== undefined && { aliasEtag }),
        isFramesIndex: record.isFramesIndex,
      }),
      swarms: whyNoSwarm(this.#options, this.#isBarred) === undefined,
      older: this.#options.older(),
      indexCarry,
      staged: this.#staging.planner,
      requireSpace: (moreBytes) => this.#space.require(files, moreBytes),
      tally: this.#tally,
      waste: this.#waste,
      logger: this.#logger,
      onProgress: () => {
        onDonated();
        // What is still to come of a version that is here for a disk may or may not.
        if (!this.#isForDisk(files)) this.#space.look(files);
      },
      onDonated,
      onDamaged: this.#options.onDamaged,
      onNewer: this.#options.onNewer,
      onComplete: () => this.#then(() => this.#finish(files)),
      onFault: (err) => this.#stopFor(err),
      onOriginError: (err) => {
        this.#logger.warn({ err }, "rows not fetched at the origin");
        this.setError(err);
        if (callsForCheck(err.code)) this.#options.onStale();
      },
    });
    this.#transfer = transfer;
    this.#proof = new AbortController();
    transfer.start();
  }

  /** Proves the whole pack and gives it its name. Rows that were damaged meanwhile are fetched again. */
  async #finish(files: VersionFiles): Promise<void> {
    if (files.isComplete || this.#transfer === undefined || !files.have.isFull) return;
    // Its disk is being rebuilt from the files under the names that they have: `setState` comes back here.
    if (this.#state === "verified" && this.#isForDisk(files)) return;
    this.#logger.info({ rows: files.table.layout.rows }, "all rows held");
    try {
      await files.finish({ signal: AbortSignal.any([this.#abort.signal, this.#proof.signal]) });
    } catch (err) {
      if (isAppError(err, "ERR_ABORTED")) return;
      if (!isAppError(err, "ERR_FRAME_HASH_MISMATCH")) {
        await this.#stopTransfer();
        this.#fault(asAppError(err));
        return;
      }
      this.#logger.warn({ err }, "stored rows were damaged");
      this.#transfer.swarm.step({ type: "lost", runs: [...files.have.runs(false)] });
      return;
    }
    await this.#arrived(files, "version verified");
  }

  #isForDisk(files: VersionFiles): boolean {
    return isForDisk(files, this.#options.context.settings);
  }

  /** All that a disk needs may be here, while packed frames are missing that only peers may bring. */
  #lookForDisk(files: VersionFiles): void {
    if (this.#isForDiskTold || files.have.isFull || !this.#isForDisk(files)) return;
    this.#isForDiskTold = true;
    this.#then(() => this.#arrived(files, "version is here for a disk; its pack waits for peers"));
  }

  async #arrived(files: VersionFiles, news: string): Promise<void> {
    if (!files.isComplete) await files.checkpoint();
    await this.#transfer?.finishBeside();
    this.#error = undefined;
    this.#retry.succeeded();
    this.#logger.info({ bytes: files.bytes, wasted: this.#waste.bytes }, news);
    if (this.#state === "fetching") this.setState("verified");
    else this.#options.onChanged();
    await this.#options.context.store.noteFrames(files);
    this.#options.onVerified();
  }

  #stopFor(err: AppError): void {
    this.#then(async () => {
      await this.#stopTransfer();
      this.#fault(err);
    });
  }

  async #stopTransfer(): Promise<void> {
    await this.#transfer?.closeBeside();
    const transfer = this.#transfer;
    this.#transfer = undefined;
    await transfer?.close();
    this.#staging.end();
  }

  /** The work stopped: tried again after a pause, unless only the publisher can help. */
  #fault(err: AppError): void {
    if (this.#abort.signal.aborted) return;
    this.#isFailed = err.code === "ERR_INDEX_INVALID" || err.code === "ERR_PACK_INVALID";
    const retryMs = this.#isFailed ? undefined : this.#retry.failed();
    this.#logger.error({ err, retryMs }, "version stopped");
    this.setError(err);
    this.#options.onFault(err);
  }

  /** One thing at a time. */
  #then(work: () => Promise<void>): void {
    this.#busy = this.#busy.then(work).catch((err: unknown) => {
      this.#fault(asAppError(err));
    });
  }

  #countBytes(): void {
    const bytes = this.#files?.bytes;
    if (bytes === undefined) return;
    this.#counts.look(this.#tally.add(bytes), this.#waste.bytes, this.#transfer === undefined);
  }

  #packKey(): string {
    return packKey(this.signed.head.name, this.version);
  }
}
