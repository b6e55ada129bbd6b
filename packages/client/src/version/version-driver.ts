import type { AppError, Logger, Run } from "@ckmesh/core";
import { decodeHead, type SignedHead } from "@ckmesh/image";
import type { VersionFiles, VersionRecord, VersionState } from "@ckmesh/store";
import { asAppError } from "../as-app-error.js";
import { NO_DELTA_SPACE } from "../delta/delta-space.js";
import { SpaceWatch } from "../disk/space-watch.js";
import { isForDisk } from "../local/decoded-rows.js";
import { IndexCarry } from "../local/index-carry.js";
import { fetchIndex, isIndexWhole } from "../rows/fetch-index.js";
import type { StagedPair } from "../staging/staged-pair.js";
import { STAGING_LOOK_MS, VersionStaging } from "../staging/version-staging.js";
import { NO_RATE, type StatusError, type VersionStatus } from "../status.js";
import { KeptPack } from "./kept-pack.js";
import { openTransfer, originRows } from "./open-transfer.js";
import { provePack } from "./prove-pack.js";
import { RetryTimer } from "./retry-timer.js";
import type { VersionDriverOptions } from "./version-driver-options.js";
import { VersionFacts } from "./version-facts.js";
import type { VersionTransfer } from "./version-transfer.js";
import { whyNoSwarm } from "./why-no-swarm.js";

/**
 * One version on this machine: idle (available, proposed) → fetching → complete, and then serving peers. The
 * states that follow (staged, active, superseded) are set by the image.
 */
export class VersionDriver {
  readonly signed: SignedHead;
  readonly #options: VersionDriverOptions;
  readonly #logger: Logger;
  readonly #facts: VersionFacts;
  readonly #staging: VersionStaging;
  readonly #abort = new AbortController();
  readonly #retry: RetryTimer;
  readonly #space: SpaceWatch;
  readonly #pack: KeptPack;
  #transfer: VersionTransfer | undefined;
  /** Aborted when the transfer is to stop: then its pack is not proven to the end first. */
  #proof = new AbortController();
  #busy: Promise<void> = Promise.resolve();
  /** That all is here for a disk has been said, or need not be. */
  #isForDiskTold = false;
  #isFailed = false;
  #isBarred = false;

  constructor(options: VersionDriverOptions) {
    this.#options = options;
    const { context } = options;
    this.signed = decodeHead(options.headBlock);
    this.#logger = context.logger.child({ image: this.signed.head.name, version: this.signed.head.version });
    this.#facts = new VersionFacts(this.signed, options, this.#logger);
    this.#staging = new VersionStaging({
      signed: this.signed,
      folder: context.staging,
      io: context.store.background.io,
      clock: context.clock,
      logger: this.#logger,
    });
    this.#space = new SpaceWatch({
      ...context,
      format: () => (this.disk === undefined ? context.settings.materialize : "off"),
      base: options.base,
      logger: this.#logger,
      delta: () => this.#transfer?.deltaSpace ?? NO_DELTA_SPACE,
      onFault: (err) => this.#stopFor(err),
    });
    this.#retry = new RetryTimer(context.clock, context.random, () => this.#then(() => this.#start()));
    this.#pack = new KeptPack(this.signed.head, options, this.#logger, this.#abort.signal);
  }

  get version(): number {
    return this.signed.head.version;
  }

  get headBlock(): Uint8Array {
    return this.#options.headBlock;
  }

  get state(): VersionState {
    return this.#facts.state;
  }

  get files(): VersionFiles | undefined {
    return this.#pack.files;
  }

  /** All of it is proven and here: its pack, or the disk that it was given up for, or what a disk is made of. */
  get isComplete(): boolean {
    const { files } = this;
    return this.isShed || (files !== undefined && (files.isComplete || this.#isForDisk(files)));
  }

  /** It has its disk and its index only: `regain` makes its pack again. */
  get isShed(): boolean {
    return this.#pack.shed !== undefined;
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
    return this.#facts.error;
  }

  get disk(): string | undefined {
    return this.#facts.disk;
  }

  get record(): VersionRecord {
    return this.#facts.record(this.#pack.shed);
  }

  /** The image moves the version on: staged, active, superseded. */
  setState(state: VersionState, disk?: string): void {
    this.#facts.setState(state, disk);
    const { files } = this;
    if (files?.have.isFull === true && this.#isForDisk(files)) this.#then(() => this.#finish(files));
  }

  setError(err: AppError | undefined): void {
    this.#facts.setError(err);
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
    const { files } = this;
    return this.#facts.status({
      files,
      shed: this.#pack.shed,
      swarming: whyNoSwarm(this.#options, this.#isBarred) ?? true,
      rate: this.#transfer?.rate ?? NO_RATE,
      peers: this.#transfer?.swarm.links ?? 0,
      spaceNeeded: this.#space.needed,
      importing: this.isComplete ? undefined : this.#staging.importing,
    });
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
      const lost = await this.files?.recheck(runs);
      if (lost !== undefined && lost.length > 0) this.#transfer?.swarm.step({ type: "lost", runs: lost });
    });
  }

  /** Stops transfers; the files stay open as a source for other versions. `start` goes on. */
  async pause(): Promise<void> {
    this.#retry.stop();
    this.#proof.abort();
    await this.#busy;
    await this.#stopTransfer();
    await this.files?.checkpoint();
  }

  /**
   * Gives up the pack of a complete version whose disk is as it was proven: nobody gets rows of it any more.
   * @param save what `record` says: before the pack goes, or a crash in between would leave nothing of it
   */
  async shed(save: () => Promise<void>): Promise<void> {
    const [files, disk] = [this.files, this.disk];
    if (files?.isComplete !== true || disk === undefined) return;
    if (!(await this.#pack.isProven(disk, this.signed.idHex))) return;
    await this.pause();
    try {
      await this.#pack.giveUp(files, save);
      this.#space.forget();
    } catch (err) {
      await this.start();
      throw err;
    }
    this.#options.onChanged();
  }

  /** Makes the pack again, from the disk: it is a source of frames then, whole or in part, and serves nobody yet. */
  async regain(stop: AbortSignal = this.#abort.signal): Promise<void> {
    if (this.disk !== undefined && (await this.#pack.regain(this.disk, stop))) this.#options.onChanged();
  }

  /**
   * Opens the files as a source for other versions; nothing is fetched, nobody is served.
   * @throws {AppError} as `ImageStore.openVersion`
   */
  async openSource(): Promise<void> {
    if (this.files !== undefined || this.isShed || this.#abort.signal.aborted) return;
    const { store } = this.#options.context;
    await store.noteFrames(await this.#pack.open());
  }

  /** Fetches what is damaged of its index, so that updates can start from its frames: they do without else. */
  async mendIndex(): Promise<void> {
    const { files } = this;
    const { context } = this.#options;
    if (files === undefined || isIndexWhole(files) || this.#isBarred || !context.wan.isOpen) return;
    const err = await fetchIndex({
      files,
      rows: originRows(this.#options, files, this.#logger),
      waste: this.#facts.waste,
      clock: context.clock,
      logger: this.#logger,
      signal: this.#abort.signal,
    });
    if (err === undefined) await context.store.noteFrames(files);
    else this.#logger.warn({ err }, "damaged index not fetched again");
  }

  /** Stops transfers and closes the files; whole rows stay on the disk. Safe to call twice. */
  async close(): Promise<void> {
    this.#abort.abort();
    this.#retry.stop();
    await this.#busy;
    await this.#stopTransfer();
    await this.#pack.close();
  }

  async #start(): Promise<void> {
    if (this.#abort.signal.aborted || this.#isBarred || this.#transfer !== undefined || this.isShed) return;
    const { context } = this.#options;
    try {
      if (this.files === undefined) {
        await this.#pack.open();
        this.#facts.countBytes(this.files, this.#transfer === undefined);
      }
      const { files } = this;
      if (files === undefined) throw new Error("unreachable: no files after opening them");
      this.#facts.forgetError();
      if (files.isComplete || this.#isForDisk(files)) {
        this.#isForDiskTold = true;
        if (this.state === "available" || this.state === "proposed" || this.state === "fetching")
          this.setState("verified");
        this.#startTransfer(files, undefined);
        this.#options.onVerified();
        await context.store.noteFrames(files);
        return;
      }
      await this.#space.require(files);
      // The disk that is in use stays in use while its pack is put right.
      if (this.state !== "active") this.setState("fetching");
      if (!(await this.#staging.begin(files))) {
        this.#retry.set(STAGING_LOOK_MS);
        return;
      }
      this.#facts.countBytes(this.files, this.#transfer === undefined);
      const carry = await IndexCarry.attempt(files, this.#options.older()[0], this.#logger);
      this.#startTransfer(files, carry);
    } catch (err) {
      this.#fault(asAppError(err));
    }
  }

  #startTransfer(files: VersionFiles, indexCarry: IndexCarry | undefined): void {
    if (this.#abort.signal.aborted) return;
    const transfer = openTransfer({
      options: this.#options,
      files,
      indexCarry,
      isBarred: this.#isBarred,
      staging: this.#staging,
      space: this.#space,
      facts: this.#facts,
      logger: this.#logger,
      onCame: () => {
        this.#facts.countBytes(files, this.#transfer === undefined);
        this.#lookForDisk(files);
      },
      onComplete: () => this.#then(() => this.#finish(files)),
      onFault: (err) => this.#stopFor(err),
    });
    this.#transfer = transfer;
    this.#proof = new AbortController();
    transfer.start();
  }

  /** Proves the whole pack and gives it its name. Rows that were damaged meanwhile are fetched again. */
  async #finish(files: VersionFiles): Promise<void> {
    if (files.isComplete || this.#transfer === undefined || !files.have.isFull) return;
    // Its disk is being rebuilt from the files under the names that they have: `setState` comes back here.
    if (this.state === "verified" && this.#isForDisk(files)) return;
    const signal = AbortSignal.any([this.#abort.signal, this.#proof.signal]);
    const outcome = await provePack(files, signal, this.#logger).catch(async (err: unknown) => {
      await this.#stopTransfer();
      this.#fault(asAppError(err));
    });
    if (outcome === "damaged") this.#transfer.swarm.step({ type: "lost", runs: [...files.have.runs(false)] });
    if (outcome === "proven") await this.#arrived(files, "version verified");
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
    this.#facts.forgetError();
    this.#retry.succeeded();
    this.#logger.info({ bytes: files.bytes, wasted: this.#facts.waste.bytes }, news);
    if (this.state === "fetching") this.setState("verified");
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
}
