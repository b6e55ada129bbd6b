import {
  checkDeltaEnds,
  checkDeltaFits,
  type DeltaHead,
  DeltaRefs,
  type FrameTable,
  type IndexHead,
  type SignedHead,
} from "@ckmesh/image";
import { shareCopy } from "../files/buffer-pool.js";
import type { PackSetup } from "../image-tasks.js";
import { defaultThreads, ImageWorkers } from "../image-workers.js";
import { levelOf, type UsableCodec, usableCodecs } from "../pack/usable-codecs.js";
import type { AppliedFrames, ApplyTask } from "./delta-tasks.js";

/** What a delta is applied with. The packs stay open while it is. */
export interface DeltaThreadsParts {
  readonly delta: OpenPack<DeltaHead>;
  readonly base: OpenPack<IndexHead>;
  /** Section `refs` of the delta. */
  readonly refs: Uint8Array;
  readonly target: { readonly signed: SignedHead; readonly frames: FrameTable };
  /** Their priority is low. */
  readonly isBackground: boolean;
}

interface OpenPack<H extends IndexHead | DeltaHead> {
  readonly signed: SignedHead<H>;
  readonly frames: FrameTable;
  readonly setup: PackSetup;
}

/**
 * The threads that apply the frames of one delta. Each has a lane of its own: what it decoded of the base for one frame
 * serves for its neighbours, if they come to the same thread.
 */
export class DeltaThreads {
  readonly refs: DeltaRefs;
  readonly #lanes: readonly ImageWorkers[];
  readonly #codecs: readonly UsableCodec[];

  /**
   * Checks that the parts belong together; no thread runs before the first `apply`.
   * @throws {AppError} ERR_INDEX_INVALID when they do not fit each other
   */
  constructor({ delta, base, refs, target, isBackground }: DeltaThreadsParts, threads = defaultThreads()) {
    checkDeltaEnds(delta.signed.head, base.signed, target.signed);
    const shared = shareCopy(refs);
    this.refs = new DeltaRefs(shared, delta.frames.count);
    checkDeltaFits({
      refs: this.refs,
      frames: delta.frames,
      baseFrames: base.frames,
      targetFrames: target.frames,
    });
    this.#codecs = usableCodecs(target.signed.head);
    const setup = {
      level: 1,
      isBackground,
      pack: delta.setup,
      base: base.setup,
      apply: {
        refs: shared,
        targetFrames: target.frames.share(),
        codecs: this.#codecs,
      },
    };
    this.#lanes = Array.from({ length: Math.max(1, threads) }, () => new ImageWorkers(setup, 1));
  }

  /** How many there are at most. */
  get count(): number {
    return this.#lanes.length;
  }

  /** This machine can pack the frame of the target that frame `k` of the delta yields. */
  canPack(k: number): boolean {
    return levelOf(this.#codecs, this.refs.targetFrame(k)) !== undefined;
  }

  /**
   * @param lane 0 to `count - 1`; a thread does its tasks one after the other
   * @throws {AppError} ERR_STORE_CORRUPT when a file cannot be read; ERR_ABORTED; ERR_INTERNAL
   */
  async apply(task: ApplyTask, lane: number): Promise<AppliedFrames> {
    const workers = this.#lanes[lane];
    if (workers === undefined) throw new Error(`unreachable: lane ${lane} of ${this.count}`);
    return await workers.run("apply", task);
  }

  /** Ends the threads at once; safe to call twice. */
  async close(): Promise<void> {
    await Promise.all(this.#lanes.map(async (workers) => await workers.close()));
  }
}
