import type { DeltaRebuild, RebuiltFrames } from "@ckmesh/store";

/** Frames that one thread gets at a time. */
const BATCH_FRAMES = 16;
/** Calls at once: while what came of one is stored, the threads work on the next. */
const MAX_CALLS = 2;

export interface DeltaApplyOptions {
  readonly rebuild: Pick<DeltaRebuild, "apply" | "threads">;
  /** What came of frames `ks` of the delta. */
  readonly onApplied: (ks: Uint32Array, result: RebuiltFrames) => void;
  readonly onError: (err: unknown) => void;
}

/** Applies frames of a delta in the order in which they come, as many at once as the threads can take. */
export class DeltaApply {
  readonly #options: DeltaApplyOptions;
  readonly #calls = new Set<Promise<void>>();
  #queue: number[] = [];
  /** First of the queue that is not under way. */
  #next = 0;
  #isClosed = false;

  constructor(options: DeltaApplyOptions) {
    this.#options = options;
  }

  /** These frames of the delta are held. */
  add(ks: Iterable<number>): void {
    for (const k of ks) this.#queue.push(k);
    this.#start();
  }

  /** Nothing more begins; what is under way has ended when it returns. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#calls);
  }

  #start(): void {
    while (!this.#isClosed && this.#next < this.#queue.length && this.#calls.size < MAX_CALLS) {
      const end = this.#next + BATCH_FRAMES * this.#options.rebuild.threads;
      const ks = Uint32Array.from(this.#queue.slice(this.#next, end));
      this.#next += ks.length;
      if (this.#next === this.#queue.length) {
        this.#queue = [];
        this.#next = 0;
      }
      const call = this.#apply(ks).finally(() => {
        this.#calls.delete(call);
        this.#start();
      });
      this.#calls.add(call);
    }
  }

  /** Never rejects. */
  async #apply(ks: Uint32Array): Promise<void> {
    const { rebuild, onApplied, onError } = this.#options;
    try {
      onApplied(ks, await rebuild.apply(ks));
    } catch (err) {
      onError(err);
    }
  }
}
