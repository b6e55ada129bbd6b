import type { Clock, Logger } from "@ckmesh/core";
import type { Catalogue, PublishedVersion } from "../catalogue/catalogue.js";
import type { AliasWait, DeltaRecords } from "./delta-records.js";

export interface AliasWaitsOptions {
  readonly catalogue: Catalogue;
  readonly records: DeltaRecords;
  /** Longest wait; 0 = no version ever waits. */
  readonly waitMs: number;
  /** The delta to a version from the one that the alias stands for will be made, or lies in the folder. */
  readonly isComing: (version: PublishedVersion, from: number) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The alias stands for this version now. */
  readonly onMoved: (version: PublishedVersion) => void;
}

/**
 * Aliases that stay where they are until the delta from there to a new version can be fetched, so that clients which
 * ask in between do not fetch plain frames. A version waits once: from its first publication on.
 */
export class AliasWaits {
  readonly #options: AliasWaitsOptions;
  readonly #timers = new Map<AliasWait, () => void>();
  /** Never rejects. Each save is of all that is so then, so that the last one is enough. */
  #saving: Promise<void> = Promise.resolve();

  constructor(options: AliasWaitsOptions) {
    this.#options = options;
  }

  /** Goes on with what a stop cut short; before the first version is published. */
  async resume(): Promise<void> {
    const { records, clock, waitMs } = this.#options;
    const waits = records.waits.filter(({ until }) => waitMs > 0 && until > clock.wall());
    for (const wait of waits) this.#start(wait);
    if (waits.length !== records.waits.length) await records.setWaits(waits);
  }

  /**
   * Lets the alias wait for a delta to a version that is about to be published for the first time, if there is one that
   * clients could want.
   * @param seenAt Unix ms at which its files came: what was published later is nothing that clients have
   */
  async begin(published: PublishedVersion, seenAt: number): Promise<void> {
    const { catalogue, clock, records, waitMs, isComing, logger } = this.#options;
    const { name, version, isOpaque } = published;
    const base = catalogue.newest(name);
    if (waitMs <= 0 || isOpaque || base === undefined || base.isOpaque) return;
    if (base.version >= version || base.publishedAt >= seenAt) return;
    if (!isComing(published, base.version)) return;
    if (records.waits.some((wait) => wait.name === name && wait.version === version)) return;
    const wait = { name, version, from: base.version, until: Math.round(clock.wall() + waitMs) };
    this.#start(wait);
    await records.setWaits([...records.waits, wait]);
    logger.info({ image: name, version, from: wait.from, waitMs }, "alias waits for the delta to a version");
  }

  /** The delta can be fetched, or there will be none. */
  settle(name: string, version: number, from: number, reason: string): void {
    for (const wait of this.#timers.keys()) {
      if (wait.name === name && wait.version === version && wait.from === from) this.#end(wait, reason);
    }
  }

  list(): readonly AliasWait[] {
    return [...this.#timers.keys()];
  }

  /** What still waits goes on waiting with the next start. */
  async close(): Promise<void> {
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    await this.#saving;
  }

  #start(wait: AliasWait): void {
    const { catalogue, clock, waitMs } = this.#options;
    catalogue.awaitDelta(wait.name, wait.version, wait.from);
    // A clock that was set back does not make it longer.
    const ms = Math.max(0, Math.min(waitMs, wait.until - clock.wall()));
    this.#timers.set(
      wait,
      clock.after(ms, () => this.#end(wait, "the wait is over")),
    );
  }

  #end(wait: AliasWait, reason: string): void {
    const { catalogue, records, logger, onMoved } = this.#options;
    this.#timers.get(wait)?.();
    this.#timers.delete(wait);
    // Where that cannot be saved, the wait ends by its own time.
    this.#saving = records.setWaits(records.waits.filter((each) => each !== wait));
    const { name, version } = wait;
    const hasMoved = catalogue.endDeltaWait(name, version);
    logger.info({ image: name, version, reason, hasMoved }, "alias waits no longer");
    const newest = catalogue.newest(name);
    if (hasMoved && newest !== undefined) onMoved(newest);
  }
}
