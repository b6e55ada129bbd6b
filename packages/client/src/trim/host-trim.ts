import { join } from "node:path";
import { AppError, Bitfield, type Clock, describeError, isAppError, type Logger, wait } from "@ckmesh/core";
import {
  HostFrameSource,
  HostIndex,
  type HostIndexState,
  type HostScanResult,
  type ImageStore,
  type VersionFiles,
} from "@ckmesh/store";
import type { LocalPlan } from "../local/local-plan.js";

/** Files change with updates of the host, which come at night or once a week. */
const RESCAN_MS = 24 * 3_600_000;
/** A search of a million sectors takes 5 s of CPU at low priority; when it takes this long, its thread hangs. */
const SEARCH_MS = 120_000;
/** A thread that hangs is left behind. */
const CLOSE_MS = 5000;

/** Settings of the trim from host files. */
export interface TrimSettings {
  /** Absolute; none lies in another. */
  readonly folders: readonly string[];
  /** Images without it. */
  readonly off: readonly string[];
  /** How long an image waits for the very first look through the folders, ms. */
  readonly waitMs: number;
}

export interface TrimStatus {
  readonly scanning: boolean;
  /** Files of the host whose content is known, and their 4-KiB blocks. */
  readonly files: number;
  readonly blocks: number;
  /** Why the last look through the folders failed. */
  readonly problem?: string;
}

export interface HostTrimOptions {
  readonly settings: TrimSettings;
  readonly store: Pick<ImageStore, "dir" | "background">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Frames out of files of the host: looks through its folders at the start and once a day, and says which frames of
 * a version they seem to hold. Nothing depends on it: when it fails, frames come from elsewhere.
 */
export class HostTrim {
  readonly #options: HostTrimOptions;
  readonly #index: HostIndex;
  #state: HostIndexState = { files: 0, blocks: 0, isComplete: false };
  #isScanning = true;
  #problem: string | undefined;
  /** Why by folder: told once, and again when it was read in between. */
  #unread: ReadonlyMap<string, string> = new Map();
  #scan: Promise<void>;
  #cancelScan: (() => void) | undefined;
  #isClosed = false;

  constructor(options: HostTrimOptions) {
    this.#options = options;
    this.#index = new HostIndex(join(options.store.dir, "host"), options.store.background.io);
    this.#scan = this.#look();
  }

  isOnFor(image: string): boolean {
    return !this.#options.settings.off.includes(image);
  }

  status(): TrimStatus {
    const { files, blocks } = this.#state;
    return {
      scanning: this.#isScanning,
      files,
      blocks,
      ...(this.#problem !== undefined && { problem: this.#problem }),
    };
  }

  /**
   * Which of the missing frames the host seems to hold. Its table of frames and its ids must be here. Waits for
   * the very first look through the folders, for as long as is configured.
   */
  async plan(files: VersionFiles, missing: Bitfield, signal: AbortSignal): Promise<LocalPlan> {
    const logger = this.#options.logger.child({
      image: files.signed.head.name,
      version: files.signed.head.version,
    });
    try {
      const source = new HostFrameSource(files, this.#index, this.#options.store.background);
      const rows = await this.#inTime(this.#find(source, missing, signal), signal);
      logger.info({ frames: rows.count }, "frames found in files of the host");
      return {
        rows,
        copy: async (stop, onStored) => {
          try {
            await source.copy(rows, stop, onStored);
          } catch (err) {
            // The host is never needed; a full disk stops all sources.
            if (!isAppError(err) || err.code === "ERR_STORE_FULL") throw err;
            logger.warn({ err }, "frames of the host not copied");
          }
        },
      };
    } catch (err) {
      if (!isAppError(err)) throw err;
      if (!signal.aborted) logger.warn({ err }, "files of the host not searched");
      return { rows: new Bitfield(missing.length), copy: async () => {} };
    }
  }

  async #find(source: HostFrameSource, missing: Bitfield, signal: AbortSignal): Promise<Bitfield> {
    await this.#firstScan(signal);
    return await source.find(missing);
  }

  /** A file system that does not answer holds up the thread of the index, and must not hold up anything else. */
  async #inTime<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    const { settings, clock } = this.#options;
    const ended = new AbortController();
    const limit = wait(clock, settings.waitMs + SEARCH_MS, AbortSignal.any([signal, ended.signal])).then(
      () => {
        throw new AppError("ERR_TIMEOUT", "the index of the host's files does not answer");
      },
    );
    try {
      return await Promise.race([work, limit]);
    } finally {
      ended.abort();
    }
  }

  /** Ends a look; what it has found stays. Safe to call twice. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelScan?.();
    const { clock } = this.#options;
    const ended = new AbortController();
    const closed = this.#index.close().then(() => this.#scan);
    const limit = wait(clock, CLOSE_MS, ended.signal).catch(() => {}); // closed in time
    await Promise.race([closed, limit]);
    ended.abort();
  }

  async #firstScan(signal: AbortSignal): Promise<void> {
    const { settings, clock } = this.#options;
    this.#state = await this.#index.state();
    if (this.#state.isComplete || !this.#isScanning) return;
    const ended = new AbortController();
    try {
      const waited = wait(clock, settings.waitMs, AbortSignal.any([signal, ended.signal]));
      await Promise.race([this.#scan, waited]);
    } finally {
      ended.abort();
    }
  }

  async #look(): Promise<void> {
    const { settings, store, clock, logger } = this.#options;
    this.#isScanning = true;
    const start = clock.now();
    try {
      this.#state = await this.#index.state();
      const found = await this.#index.scan({ folders: settings.folders, excluded: [store.dir] });
      this.#state = found;
      this.#problem = undefined;
      this.#warnOfUnread(found.unread);
      const { files, hashedBytes, skipped, leftOut, isComplete } = found;
      const ms = Math.round(clock.now() - start);
      logger.info(
        { files, hashedBytes, skipped, leftOut, isComplete, ms },
        "folders of the host looked through",
      );
    } catch (err) {
      this.#problem = describeError(err);
      if (!this.#isClosed) logger.warn({ err }, "folders of the host not looked through");
    } finally {
      this.#isScanning = false;
    }
    if (this.#isClosed) return;
    this.#cancelScan = clock.after(RESCAN_MS, () => {
      this.#scan = this.#look();
    });
  }

  #warnOfUnread(unread: HostScanResult["unread"]): void {
    for (const { folder, reason } of unread) {
      if (this.#unread.get(folder) === reason) continue;
      this.#options.logger.warn({ folder, reason }, "a folder of the host cannot be looked through");
    }
    this.#unread = new Map(unread.map(({ folder, reason }) => [folder, reason]));
  }
}
