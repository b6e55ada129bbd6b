import { DeltaRefs, FrameTable } from "@ckmesh/image";
import type { FrameCodec } from "../codec.js";
import { FrameReader } from "../frame-reader.js";
import type { FramesTask, WorkerSetup } from "../image-tasks.js";
import { DeltaApplier } from "./delta-applier.js";
import { DeltaMaker } from "./delta-maker.js";
import type { AppliedFrames, ApplyTask, DeltaFrames, DeltaFramesTask } from "./delta-tasks.js";
import { DictionaryDecoder } from "./dictionary-decoder.js";

/** What a worker thread does for deltas; makes its parts when the first task needs them. */
export class DeltaWork {
  readonly #setup: WorkerSetup;
  readonly #codec: FrameCodec;
  #maker: DeltaMaker | undefined;
  #applier: DeltaApplier | undefined;

  constructor(setup: WorkerSetup, codec: FrameCodec) {
    this.#setup = setup;
    this.#codec = codec;
  }

  async fingerprint(task: FramesTask): Promise<void> {
    await this.#openMaker().fingerprint(task);
  }

  async pack(task: DeltaFramesTask): Promise<DeltaFrames> {
    return await this.#openMaker().pack(task);
  }

  async apply(task: ApplyTask): Promise<AppliedFrames> {
    return await (await this.#openApplier()).apply(task);
  }

  #openMaker(): DeltaMaker {
    const { pack, base, fingerprints } = this.#setup;
    if (pack === undefined || base === undefined || fingerprints === undefined)
      throw new Error("unreachable: no delta to make");
    this.#maker ??= new DeltaMaker(
      new FrameReader(pack, this.#codec),
      new FrameReader(base, this.#codec),
      this.#codec,
      fingerprints,
    );
    return this.#maker;
  }

  async #openApplier(): Promise<DeltaApplier> {
    if (this.#applier !== undefined) return this.#applier;
    const { pack, base, apply } = this.#setup;
    if (pack === undefined || base === undefined || apply === undefined)
      throw new Error("unreachable: no delta to apply");
    const decoder = await DictionaryDecoder.create();
    this.#applier = new DeltaApplier(
      new FrameReader(pack, decoder),
      new FrameReader(base, decoder),
      new DeltaRefs(apply.refs, pack.head.counts.frames),
      FrameTable.decode(apply.targetFrames, apply.targetHead),
      apply.codecs,
      decoder,
    );
    return this.#applier;
  }
}
