import type { Clock, Logger } from "@ckmesh/core";
import type { SignedHead } from "@ckmesh/image";
import { type ImageRecord, type ImageStore, NO_WASTE, type VersionRecord } from "@ckmesh/store";

/** What is kept of a version that was just seen. */
export function newVersionRecord(
  signed: SignedHead,
  state: VersionRecord["state"],
  isPrivate: boolean,
): VersionRecord {
  const { version } = signed.head;
  return { version, id: signed.idHex, state, isPrivate, isFramesIndex: false, wasted: NO_WASTE };
}

/** Changes of counters are saved at most this often. */
const SAVE_MS = 2000;

export interface ImageStateOptions {
  readonly name: string;
  readonly record: ImageRecord;
  readonly store: Pick<ImageStore, "saveRecord">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly versions: () => readonly VersionRecord[];
}

/** The record of an image, and when it is written. */
export class ImageState {
  readonly #options: ImageStateOptions;
  #record: ImageRecord;
  #saving: Promise<void> = Promise.resolve();
  #cancel: (() => void) | undefined;
  #isClosed = false;

  constructor(options: ImageStateOptions) {
    this.#options = options;
    this.#record = options.record;
  }

  get record(): ImageRecord {
    return this.#record;
  }

  async save(record: ImageRecord): Promise<void> {
    this.#record = record;
    await this.#saveNow();
  }

  saveSoon(): void {
    if (this.#isClosed) return;
    const { clock, logger } = this.#options;
    this.#cancel ??= clock.after(SAVE_MS, () => {
      this.#cancel = undefined;
      this.#saveNow().catch((err: unknown) => {
        logger.warn({ err }, "image state not saved");
      });
    });
  }

  /** Nothing is saved by itself from now on. */
  stop(): void {
    this.#isClosed = true;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  async close(): Promise<void> {
    this.stop();
    await this.#saveNow();
  }

  /** Writes go one after the other; each takes the state of its turn. */
  #saveNow(): Promise<void> {
    const { name, store, versions } = this.#options;
    const write = this.#saving
      .catch(() => {}) // whoever asked for that one hears of it
      .then(() => store.saveRecord(name, { ...this.#record, versions: versions() }));
    this.#saving = write;
    return write;
  }
}
