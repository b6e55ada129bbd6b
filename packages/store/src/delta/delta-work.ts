import { DeltaRefs, FrameTable } from "@ckmesh/image";
import type { WorkerSetup } from "../image-tasks.js";
import { FrameDecoder } from "../pack/frame-decoder.js";
import { FrameReader } from "../pack/frame-reader.js";
import { BaseDictionary } from "./base-dictionary.js";
import { DeltaApplier } from "./delta-applier.js";
import { DeltaMaker } from "./delta-maker.js";
import {
  type AppliedFrames,
  type ApplyTask,
  DELTA_LEVEL,
  type DeltaFrames,
  type DeltaFramesTask,
  type FingerprintTask,
} from "./delta-tasks.js";
import { DictionaryEncoder } from "./dictionary-encoder.js";

/** What a worker thread does for deltas; makes its parts when the first task needs them. */
export class DeltaWork {
  readonly #setup: WorkerSetup;
  #maker: DeltaMaker | undefined;
  #applier: DeltaApplier | undefined;

  constructor(setup: WorkerSetup) {
    this.#setup = setup;
  }

  async fingerprint(task: FingerprintTask): Promise<number> {
    return await (await this.#openMaker()).fingerprint(task);
  }

  async compare(task: DeltaFramesTask): Promise<Uint32Array> {
    return await (await this.#openMaker()).compare(task);
  }

  async pack(task: DeltaFramesTask): Promise<DeltaFrames> {
    return await (await this.#openMaker()).pack(task);
  }

  async apply(task: ApplyTask): Promise<AppliedFrames> {
    return await (await this.#openApplier()).apply(task);
  }

  async #openMaker(): Promise<DeltaMaker> {
    if (this.#maker !== undefined) return this.#maker;
    const { pack, base, make } = this.#setup;
    if (pack === undefined || base === undefined || make === undefined)
      throw new Error("unreachable: no delta to make");
    const decoder = await FrameDecoder.create();
    this.#maker = new DeltaMaker(
      new FrameReader(pack, decoder),
      new FrameReader(base, decoder),
      await DictionaryEncoder.create(DELTA_LEVEL),
      make,
    );
    return this.#maker;
  }

  async #openApplier(): Promise<DeltaApplier> {
    if (this.#applier !== undefined) return this.#applier;
    const { pack, base, apply } = this.#setup;
    if (pack === undefined || base === undefined || apply === undefined)
      throw new Error("unreachable: no delta to apply");
    const decoder = await FrameDecoder.create();
    this.#applier = new DeltaApplier(
      new FrameReader(pack, decoder),
      await BaseDictionary.create(new FrameReader(base, decoder), decoder),
      new DeltaRefs(apply.refs, pack.head.counts.frames),
      FrameTable.open(apply.targetFrames),
      apply.codecs,
      decoder,
    );
    return this.#applier;
  }
}
