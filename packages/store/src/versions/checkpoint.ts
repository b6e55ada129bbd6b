import type { Bitfield, Clock, Logger } from "@ckmesh/core";
import { MIB } from "@ckmesh/core";
import { writeAtomic } from "../files/write-atomic.js";
import { encodeHaveMap } from "./have-map.js";

/** A checkpoint is written after so many new bytes, or so much time with any. */
const CHECKPOINT_BYTES = 64 * MIB;
const CHECKPOINT_MS = 5000;

export interface CheckpointOptions {
  readonly path: string;
  readonly versionId: Uint8Array;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A copy of the rows written so far. */
  readonly have: () => Bitfield;
  /** fdatasync of the files. */
  readonly sync: () => Promise<void>;
}

/** Writes the have-map now and then: rows first made durable, then named. One write at a time. */
export class Checkpoint {
  readonly #options: CheckpointOptions;
  #newBytes = 0;
  #isActive = false;
  #running: Promise<void> = Promise.resolve();
  #isWaiting = false;
  #cancelTimer: (() => void) | undefined;

  constructor(options: CheckpointOptions) {
    this.#options = options;
  }

  /** From now on `wrote` leads to checkpoints. */
  start(): void {
    this.#isActive = true;
  }

  wrote(bytes: number): void {
    this.#newBytes += bytes;
    if (!this.#isActive) return;
    if (this.#newBytes >= CHECKPOINT_BYTES) this.#saveInBackground();
    this.#cancelTimer ??= this.#options.clock.after(CHECKPOINT_MS, () => {
      this.#cancelTimer = undefined;
      this.#saveInBackground();
    });
  }

  /** @throws {AppError} ERR_STORE_FULL; the previous checkpoint then stays */
  async save(): Promise<void> {
    if (!this.#isActive) return;
    const run = this.#running.catch(() => {}).then(() => this.#save()); // whoever began that one hears of it
    this.#running = run;
    await run;
  }

  /** Writes what is new, then no more; safe to call twice. A failure costs time at the next start only. */
  async close(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    try {
      if (this.#newBytes > 0) await this.save();
      else await this.#running;
    } catch (err) {
      this.#options.logger.warn({ err, file: this.#options.path }, "last checkpoint not written");
    }
    this.#isActive = false;
  }

  async #save(): Promise<void> {
    const have = this.#options.have();
    const bytes = this.#newBytes;
    this.#newBytes = 0;
    try {
      await this.#options.sync();
      await writeAtomic(this.#options.path, encodeHaveMap(this.#options.versionId, have));
    } catch (err) {
      this.#newBytes += bytes;
      throw err;
    }
  }

  #saveInBackground(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.save()
      .catch((err: unknown) => {
        this.#options.logger.warn({ err, file: this.#options.path }, "checkpoint not written");
      })
      .finally(() => {
        this.#isWaiting = false;
      });
  }
}
