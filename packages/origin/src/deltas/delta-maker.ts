import { AppError, type Clock, describeError, isAppError, type Logger } from "@ckmesh/core";
import type { Catalogue, PublishedVersion } from "../catalogue/catalogue.js";
import { deltaKey } from "../serve/served-path.js";
import type { AliasWaits } from "./alias-waits.js";
import { type DeltaJob, deltaJobs } from "./delta-jobs.js";
import type { DeltaRecords } from "./delta-records.js";
import type { MadeDelta, MakingFolder } from "./making-folder.js";

/** What a process is told to make. */
export interface DeltaOrder {
  readonly basePath: string;
  readonly targetPath: string;
  readonly outDir: string;
}

export interface DeltaMakerOptions {
  readonly catalogue: Catalogue;
  readonly records: DeltaRecords;
  readonly waits: AliasWaits;
  readonly folder: MakingFolder;
  /** Versions that deltas lead from, at most. */
  readonly maxBases: number;
  /** Makes one; undefined: it would save nobody anything. */
  readonly make: (
    order: DeltaOrder,
    signal: AbortSignal,
  ) => Promise<{ readonly packPath: string } | undefined>;
  /** Why nobody would take a delta to a version that is made here; undefined: they would. */
  readonly obstacleOf: (target: PublishedVersion) => string | undefined;
  /** Files of that name are in the image folder. @param key of `deltaKey` */
  readonly isInFolder: (key: string) => boolean;
  /** Files of that name came into the folder, whole. @param key of `deltaKey` */
  readonly expect: (key: string) => void;
  /** Runs a change of the image folder while nobody looks at it. */
  readonly inTurn: (change: () => Promise<void>) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Running {
  readonly name: string;
  readonly job: DeltaJob;
  readonly stop: AbortController;
}

/** Until a delta is tried again that could not be made for a reason that passes. */
const RETRY_MS = 600_000;
/** What can go right later with the same versions. */
const TRANSIENT: ReadonlySet<string> = new Set([
  "ERR_STORE_FULL",
  "ERR_FILE_DENIED",
  "ERR_FILE_NOT_FOUND",
  "ERR_INTERNAL",
]);

/** Makes the deltas to the newest versions, one at a time, those first that an alias waits for. */
export class DeltaMaker {
  readonly #options: DeltaMakerOptions;
  /** By `deltaKey`: monotonic ms at which one that failed is tried again. */
  readonly #failed = new Map<string, number>();
  readonly #timers = new Set<() => void>();
  /** Obstacles that the log names already. */
  readonly #told = new Set<string>();
  #running: Running | undefined;
  #working: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: DeltaMakerOptions) {
    this.#options = options;
  }

  /** File name of the delta that is made now. */
  get making(): string | undefined {
    if (this.#running === undefined) return undefined;
    const { name, job } = this.#running;
    return `${name}_${job.version}.from_${job.from}.ckm`;
  }

  /** Why the newest of an image's versions has no delta, if that is so because none is made to it. */
  obstacle(versions: readonly PublishedVersion[]): string | undefined {
    const { catalogue, obstacleOf } = this.#options;
    const usable = versions.filter(
      (each) => !each.isOpaque && !catalogue.isWithdrawn(each.name, each.version),
    );
    const target = usable.at(-1);
    if (target === undefined || usable.length < 2) return undefined;
    return catalogue.deltasTo(target.name, target.version).length > 0 ? undefined : obstacleOf(target);
  }

  /** Begins with what is to be made; after any change of what is published. */
  review(): void {
    if (this.#isClosed) return;
    this.#endVainWaits();
    const next = this.#next();
    if (next === undefined) return;
    if (this.#running === undefined) this.#working = this.#run(next);
    // Made again later: clients wait for the other one.
    else if (next.job.isAwaited && !this.#running.job.isAwaited) this.#running.stop.abort();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const cancel of this.#timers) cancel();
    this.#running?.stop.abort();
    await this.#working;
  }

  #next(): Running | undefined {
    const { catalogue, waits, maxBases } = this.#options;
    const awaited = waits.list();
    const jobs = catalogue.list().flatMap(({ name, versions }) =>
      deltaJobs({
        versions: versions
          .filter(({ version, isOpaque }) => !isOpaque && !catalogue.isWithdrawn(name, version))
          .map(({ version }) => version),
        aliasVersion: catalogue.newest(name)?.version,
        awaited: awaited.filter((wait) => wait.name === name),
        maxBases,
        isSettled: (version, from) => this.#isSettled(deltaKey(name, version, from)),
      })
        .filter(({ version }) => this.#isWanted(name, version))
        .map((job) => ({ name, job, stop: new AbortController() })),
    );
    return jobs.find(({ job }) => job.isAwaited) ?? jobs[0];
  }

  /** Clients would take deltas to this version; otherwise the log says once why not. */
  #isWanted(name: string, version: number): boolean {
    const { catalogue, obstacleOf, logger } = this.#options;
    const target = catalogue.get(name, version);
    const reason = target === undefined ? undefined : obstacleOf(target);
    if (reason === undefined) return true;
    if (!this.#told.has(reason)) {
      this.#told.add(reason);
      logger.warn({ image: name, version, reason }, "no deltas are made to a version, or to others like it");
    }
    return false;
  }

  /** Waits for what is not made any more: a restart or a reload has brought another configuration. */
  #endVainWaits(): void {
    const { waits, isInFolder } = this.#options;
    for (const { name, version, from } of waits.list()) {
      if (isInFolder(deltaKey(name, version, from)) || this.#isWanted(name, version)) continue;
      waits.settle(name, version, from, "the delta is not made here");
    }
  }

  #isSettled(key: string): boolean {
    const { records, isInFolder, clock } = this.#options;
    const retryAt = this.#failed.get(key) ?? 0;
    return records.ended(key) !== undefined || isInFolder(key) || clock.now() < retryAt;
  }

  /** Never throws: what fails is in the log, and no alias waits for it any longer. */
  async #run(running: Running): Promise<void> {
    this.#running = running;
    const { logger, waits, clock } = this.#options;
    const { name, job, stop } = running;
    const facts = { image: name, version: job.version, from: job.from };
    const started = clock.now();
    try {
      const isMade = await this.#make(running);
      const ms = Math.round(clock.now() - started);
      if (isMade) logger.info({ ...facts, ms }, "delta made");
      else {
        logger.info({ ...facts, ms }, "no delta made: it would save nothing");
        waits.settle(name, job.version, job.from, "there is nothing to save");
      }
    } catch (err) {
      if (!stop.signal.aborted) this.#fail(running, err);
    }
    this.#running = undefined;
    this.review();
  }

  async #make({ name, job, stop }: Running): Promise<boolean> {
    const { catalogue, folder, records, make } = this.#options;
    const { version, from } = job;
    const key = deltaKey(name, version, from);
    const base = catalogue.get(name, from);
    const target = catalogue.get(name, version);
    if (base === undefined || target === undefined)
      throw new Error("unreachable: a job without its versions");
    const outDir = await folder.begin();
    try {
      const order = { basePath: base.index.path, targetPath: target.index.path, outDir };
      const made = await make(order, stop.signal);
      if (made !== undefined)
        await this.#place({ name, version, from, packPath: made.packPath }, [base, target]);
      await records.setEnded(key, made === undefined ? "needless" : "made");
      return made !== undefined;
    } finally {
      await folder.end(outDir);
    }
  }

  async #place(made: MadeDelta, ends: readonly [PublishedVersion, PublishedVersion]): Promise<void> {
    const { catalogue, folder, inTurn, expect } = this.#options;
    await inTurn(async () => {
      if (ends.some(({ name, version, id }) => catalogue.get(name, version)?.id !== id)) {
        throw new AppError("ERR_FILE_NOT_FOUND", "its versions went while it was made");
      }
      await folder.place(made);
      expect(deltaKey(made.name, made.version, made.from));
    });
  }

  #fail({ name, job }: Running, err: unknown): void {
    const { clock, logger, waits } = this.#options;
    const code = isAppError(err) ? err.code : "ERR_INTERNAL";
    const isTransient = TRANSIENT.has(code);
    const facts = { image: name, version: job.version, from: job.from, code, reason: describeError(err) };
    logger.warn({ ...facts, isTriedAgain: isTransient }, "a delta could not be made");
    const key = deltaKey(name, job.version, job.from);
    this.#failed.set(key, isTransient ? clock.now() + RETRY_MS : Infinity);
    if (isTransient) this.#reviewLater();
    waits.settle(name, job.version, job.from, "the delta could not be made");
  }

  #reviewLater(): void {
    const cancel = this.#options.clock.after(RETRY_MS, () => {
      this.#timers.delete(cancel);
      this.review();
    });
    this.#timers.add(cancel);
  }
}
