import type { Identity } from "@ckmesh/auth";
import { AppError, describeError, isAppError, type Logger } from "@ckmesh/core";
import { indexFileName, packFileName } from "@ckmesh/image";
import type { Catalogue, FileStamp, PublishedVersion } from "../catalogue/catalogue.js";
import type { CatalogueCache } from "../catalogue/catalogue-cache.js";
import { versionOf } from "../catalogue/version-of.js";
import { fileKey } from "../serve/served-path.js";
import { type FolderPair, type FolderScan, pairFingerprint, scanFolder } from "./folder-scan.js";
import { pairKind } from "./opaque-pack.js";
import { type ProvenPair, type ProvePairOptions, provePair } from "./prove-pair.js";
import { type Refusal, Refusals, reasonWithoutFolder } from "./refusals.js";

export interface PublishNews {
  /** This content was never published before. */
  readonly isNew: boolean;
  /** The alias stands for another version than before; not told for what a restart publishes again. */
  readonly hasAliasMoved: boolean;
  /** Who uploaded it; undefined: it was found in the folder. */
  readonly uploader: Identity | undefined;
}

export interface RemovalNews {
  /** Undefined when the alias stands for the same version as before, or for none. */
  readonly aliasMovedTo: PublishedVersion | undefined;
  /** By `takeOut`, not because its files changed or went. */
  readonly isDeleted: boolean;
}

export interface GateStatus {
  readonly refused: readonly Refusal[];
  /** Pairs that change, wait for their other half, or wait for their check. */
  readonly waiting: readonly { readonly file: string; readonly reason: string }[];
  readonly checking: string | undefined;
  /** Why the folder cannot be read; undefined while it can. */
  readonly folderError: string | undefined;
}

export interface PublishGateOptions extends ProvePairOptions {
  readonly root: string;
  readonly scanMs: number;
  /** A pair counts as complete when size, time and inode have stood still for this long. */
  readonly settleMs: number;
  readonly catalogue: Catalogue;
  readonly cache: CatalogueCache;
  readonly logger: Logger;
  /** Takes the control records of the folder, before a version is looked at. */
  readonly lookAtControls: (controls: FolderScan["controls"]) => Promise<void>;
  /** Takes the deltas of the folder, after its versions were looked at. */
  readonly lookAtDeltas: (deltas: FolderScan["deltas"]) => void;
  /** Before a version is published for the first time. @param seenAt Unix ms at which its files came */
  readonly beforePublish: (version: PublishedVersion, seenAt: number) => Promise<void>;
  /** After the catalogue changed. */
  readonly onPublished: (version: PublishedVersion, news: PublishNews) => void;
  readonly onRemoved: (version: PublishedVersion, news: RemovalNews) => void;
}

/** What is known of one pair: seen → settled → checked → published or refused; any change starts anew. */
interface Candidate {
  pair: FolderPair;
  fingerprint: string;
  /** Monotonic ms of the last change that was seen. */
  changedAt: number;
  state: "settling" | "queued" | "published" | "refused";
  /** Monotonic ms: a refusal that may not be the files' fault is looked at again. */
  retryAt: number;
  /** One of our packs without its index: nothing to do until the index comes. */
  isHalf: boolean;
}

/**
 * Nothing says when a foreign pack without index is complete, so it must stand still for this many settle
 * times before it is published as it is.
 */
export const LONE_SETTLE_FACTOR = 10;
/** After which a refusal that may not be the files' fault is looked at again. */
const RETRY_MS = 10_000;

/**
 * Watches the folder and lets only whole, proven pairs into the catalogue. Looks at names, sizes and times
 * by polling, which works on every file system, network shares included.
 */
export class PublishGate {
  readonly #options: PublishGateOptions;
  readonly #candidates = new Map<string, Candidate>();
  readonly #refusals: Refusals;
  readonly #leftAlone = new Set<string>();
  readonly #stop = new AbortController();
  #cancelTimer: (() => void) | undefined;
  #queue: string[] = [];
  #checking: string | undefined;
  #working: Promise<void> = Promise.resolve();
  /** Looks at the folder, and changes of it that no look may see half done: one after the other. */
  #turns: Promise<unknown> = Promise.resolve();
  #folderError: string | undefined;
  #isStarted = false;

  constructor(options: PublishGateOptions) {
    this.#options = options;
    this.#refusals = new Refusals(options);
  }

  /** Publishes what is unchanged since it was verified, then watches. */
  async start(): Promise<void> {
    await this.inTurn(() => this.#scan());
    await this.#working;
    this.#isStarted = true;
    this.#schedule();
  }

  status(): GateStatus {
    const waiting = [...this.#candidates.values()]
      .filter(({ state }) => state === "settling" || state === "queued")
      .map(({ pair, state }) => ({
        file: packFileName(pair.name, pair.version),
        reason: waitReason(pair, state),
      }));
    return {
      refused: this.#refusals.list(),
      waiting,
      checking: this.#checking,
      folderError: this.#folderError,
    };
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#cancelTimer?.();
    await this.#turns.catch(() => undefined); // Told to whoever asked for it.
    await this.#working;
  }

  /** Runs `change`, which adds or removes files of the folder, while nobody looks at it. */
  inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#turns.catch(() => undefined).then(change);
    this.#turns = turn;
    return turn;
  }

  /**
   * Publishes a pair that was proven where it lay before.
   * @param pair as it will lie in the folder: names and stamps do not change when `place` puts it there
   * @param mayReplace files of the same version, which may be damaged, are to give way
   * @throws {AppError} ERR_IMAGE_EXISTS, ERR_SHUTTING_DOWN, and what `place` throws
   */
  async publishProven(
    pair: FolderPair,
    proven: ProvenPair,
    { uploader, mayReplace }: { readonly uploader: Identity; readonly mayReplace: boolean },
    place: () => Promise<void>,
  ): Promise<void> {
    await this.inTurn(async () => {
      if (this.#stop.signal.aborted) throw new AppError("ERR_SHUTTING_DOWN", "the origin is stopping");
      const { clock } = this.#options;
      const started = clock.now();
      const key = fileKey(`${pair.name}_${pair.version}`);
      this.#requireFree(key, pair, proven.verified.id);
      const there = this.#candidates.get(key);
      const isFree = isPartOf(there?.pair.pack, pair.pack) && isPartOf(there?.pair.index, pair.index);
      if (!isFree && !mayReplace) {
        throw new AppError(
          "ERR_IMAGE_EXISTS",
          `the image folder has files of version ${pair.version} already; a version never changes: publish this one with the next number`,
        );
      }
      await place();
      // What is published goes on being so, with other files of the same content.
      if (there?.state !== "published") this.#forget(key);
      const candidate: Candidate = {
        pair,
        fingerprint: pairFingerprint(pair),
        changedAt: started,
        state: "queued",
        retryAt: Infinity,
        isHalf: false,
      };
      this.#candidates.set(key, candidate);
      await this.#publish(key, candidate, proven, { started, uploader });
    });
  }

  #schedule(): void {
    if (this.#stop.signal.aborted) return;
    this.#cancelTimer = this.#options.clock.after(this.#options.scanMs, () => {
      void this.inTurn(() => this.#scan()).finally(() => this.#schedule());
    });
  }

  /** One look at the folder. Never throws: what goes wrong is in the status and, once, in the log. */
  async #scan(): Promise<void> {
    const { root, logger } = this.#options;
    try {
      const scan = await scanFolder(root);
      if (this.#stop.signal.aborted) return;
      if (this.#folderError !== undefined) logger.info({ root }, "image folder can be read again");
      this.#folderError = undefined;
      this.#refusals.setUnusable(scan.unusable);
      await this.#options.lookAtControls(scan.controls);
      for (const key of this.#candidates.keys()) if (!scan.pairs.has(key)) this.#forget(key);
      for (const [key, pair] of scan.pairs) if (!this.#leftAlone.has(key)) this.#look(key, pair);
      this.#options.lookAtDeltas(scan.deltas);
    } catch (err) {
      const reason = reasonWithoutFolder(err, root);
      if (this.#folderError !== reason) logger.error({ root, err }, "image folder cannot be read");
      this.#folderError = reason;
    }
  }

  /**
   * Takes a version out of the catalogue, and does not look at its files until the returned function was called:
   * whoever calls it deletes them meanwhile.
   */
  takeOut(name: string, version: number): () => Promise<void> {
    const key = fileKey(`${name}_${version}`);
    this.#leftAlone.add(key);
    this.#forget(key, true);
    return async () => {
      await this.#turns.catch(() => undefined); // It may have seen the files when they were still there.
      this.#leftAlone.delete(key);
    };
  }

  /** Looks at refused pairs again: what spoke against them may be gone. What is published stays so. */
  retryRefused(): void {
    for (const candidate of this.#candidates.values()) {
      if (candidate.state === "refused") candidate.retryAt = this.#options.clock.now();
    }
  }

  #look(key: string, pair: FolderPair): void {
    const { clock, settleMs, cache } = this.#options;
    const fingerprint = pairFingerprint(pair);
    const known = this.#candidates.get(key);
    if (known?.fingerprint !== fingerprint) {
      // What was published is no longer what was verified: out of sight until it is proven again.
      if (known !== undefined) this.#forget(key);
      this.#candidates.set(key, {
        pair,
        fingerprint,
        changedAt: clock.now(),
        state: "settling",
        retryAt: Infinity,
        isHalf: false,
      });
    }
    const candidate = this.#candidates.get(key);
    if (candidate?.state === "refused" && clock.now() >= candidate.retryAt) candidate.state = "settling";
    if (candidate?.state !== "settling" || candidate.isHalf || pair.pack === undefined) return;
    const isUnchanged = cache.get(key)?.fingerprint === fingerprint;
    const settle = pair.index === undefined ? settleMs * LONE_SETTLE_FACTOR : settleMs;
    if (!isUnchanged && clock.now() - candidate.changedAt < settle) return;
    candidate.state = "queued";
    this.#queue.push(key);
    this.#working = this.#working.then(() => this.#next());
  }

  async #next(): Promise<void> {
    const key = this.#queue.shift();
    const candidate = key === undefined ? undefined : this.#candidates.get(key);
    if (key === undefined || candidate?.state !== "queued" || this.#stop.signal.aborted) return;
    const { pair, fingerprint } = candidate;
    const fileName = packFileName(pair.name, pair.version);
    const started = this.#options.clock.now();
    this.#checking = fileName;
    try {
      const kind = await pairKind(pair);
      if (kind === "half") {
        candidate.isHalf = true;
        candidate.state = "settling";
        return;
      }
      const proven = await provePair(this.#options, pair, kind, this.#stop.signal, {
        version: this.#options.cache.get(key),
        fingerprint,
      });
      // A change or a removal during the check has made another candidate of it.
      if (this.#candidates.get(key) !== candidate || this.#stop.signal.aborted) return;
      await this.#publish(key, candidate, proven, { started, uploader: undefined });
    } catch (err) {
      if (this.#candidates.get(key) !== candidate || isAppError(err, "ERR_ABORTED")) return;
      this.#refuse(key, candidate, err);
    } finally {
      this.#checking = undefined;
    }
  }

  async #publish(
    key: string,
    candidate: Candidate,
    { verified, publishedAt, opaque }: ProvenPair,
    { started, uploader }: { readonly started: number; readonly uploader: Identity | undefined },
  ): Promise<void> {
    const { cache, catalogue, clock, logger } = this.#options;
    const { pair, fingerprint } = candidate;
    this.#requireFree(key, pair, verified.id);
    const version = versionOf(pair, verified, publishedAt, opaque);
    candidate.state = "published";
    this.#refusals.delete(key);
    const isNew = cache.get(key) === undefined;
    if (isNew) {
      const seenAt = Math.round(clock.wall() - (clock.now() - candidate.changedAt));
      await this.#options.beforePublish(version, seenAt);
    }
    try {
      await cache.set(key, { id: verified.id, fingerprint, publishedAt });
    } catch (err) {
      logger.error({ err, reason: describeError(err) }, "cannot save the catalogue cache");
    }
    if (this.#candidates.get(key) !== candidate) return;
    const hasAliasMoved = catalogue.publish(version) && this.#isStarted;
    const { name, id, pack } = version;
    const ms = Math.round(clock.now() - started);
    logger.info(
      { image: name, version: version.version, id, bytes: pack.size, ms, isNew },
      "image version published",
    );
    this.#options.onPublished(version, { isNew, hasAliasMoved, uploader });
  }

  /** @throws {AppError} ERR_IMAGE_EXISTS when number or name stand for something else */
  #requireFree(key: string, pair: FolderPair, id: string): void {
    const { cache, catalogue } = this.#options;
    const remembered = cache.get(key);
    if (remembered !== undefined && remembered.id !== id) {
      throw new AppError(
        "ERR_IMAGE_EXISTS",
        `version ${pair.version} was published before with other content; a version never changes: publish this one with the next number`,
      );
    }
    const published = catalogue.nameOf(pair.name);
    if (published !== undefined && published !== pair.name) {
      throw new AppError("ERR_IMAGE_EXISTS", `there is an image ${published}, which differs only in case`);
    }
  }

  #refuse(key: string, candidate: Candidate, err: unknown): void {
    const isTransient = this.#refusals.add(key, candidate.pair, err);
    candidate.state = "refused";
    candidate.retryAt = isTransient ? this.#options.clock.now() + RETRY_MS : Infinity;
  }

  /** Forgets a pair that changed or went; takes it out of the catalogue. */
  #forget(key: string, isDeleted = false): void {
    const { catalogue, logger } = this.#options;
    const candidate = this.#candidates.get(key);
    this.#candidates.delete(key);
    this.#refusals.delete(key);
    if (candidate?.state !== "published") return;
    const { name, version } = candidate.pair;
    const published = catalogue.get(name, version);
    if (published === undefined) return;
    const hasAliasMoved = catalogue.remove(name, version);
    logger.info({ image: name, version }, "image version is no longer published");
    this.#options.onRemoved(published, {
      aliasMovedTo: hasAliasMoved ? catalogue.newest(name) : undefined,
      isDeleted,
    });
  }
}

/** True if there is no such file yet, or the very same one: a name that it was given before a crash. */
function isPartOf(there: FileStamp | undefined, file: FileStamp | undefined): boolean {
  return there === undefined || there.ino === file?.ino;
}

function waitReason(pair: FolderPair, state: Candidate["state"]): string {
  if (pair.pack === undefined) return `waits for ${packFileName(pair.name, pair.version)}`;
  if (pair.index === undefined) return `waits for ${indexFileName(pair.name, pair.version)}`;
  return state === "queued" ? "waits for its check" : "changed a moment ago";
}
