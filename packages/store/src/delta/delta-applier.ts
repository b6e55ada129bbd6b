import { AppError, equalBytes, sha256 } from "@ckmesh/core";
import { type DeltaRefs, FRAME_BYTES, type FrameTable, RAW_HASH_BYTES } from "@ckmesh/image";
import { createCodec, type FrameCodec } from "../codec.js";
import { CodecGarbage } from "../codec-garbage.js";
import type { FrameReader } from "../frame-reader.js";
import type { FramesTask } from "../image-tasks.js";
import { BaseSectors } from "./base-sectors.js";
import { DELTA_FRAMES_PER_TASK, type UsableCodec } from "./delta-tasks.js";

/** A frame of the target that a delta yielded; valid during the call that it is given to. */
export interface AppliedFrame {
  /** Number in the target. */
  readonly frame: number;
  /** Proven by the raw hash. */
  readonly raw: Uint8Array;
  /** As in the target's pack, proven by its hash; absent where this machine cannot pack it so. */
  readonly packed?: Uint8Array;
}

/** One thread's part in applying a delta. Everything it hands out is proven. */
export class DeltaApplier {
  readonly #delta: FrameReader;
  readonly #refs: DeltaRefs;
  readonly #target: FrameTable;
  readonly #codecs: readonly UsableCodec[];
  readonly #byLevel = new Map<number, FrameCodec>();
  readonly #sectors: BaseSectors;
  readonly #decoder = createCodec(1);
  readonly #garbage = new CodecGarbage();
  // Reused: what outlives a few frames is collected late, and holds its memory until then.
  readonly #packed = new Uint8Array(DELTA_FRAMES_PER_TASK * FRAME_BYTES);

  /** Delta, base and target have been found to fit (`checkDeltaFits`). */
  constructor(
    delta: FrameReader,
    base: FrameReader,
    refs: DeltaRefs,
    target: FrameTable,
    codecs: readonly UsableCodec[],
  ) {
    this.#delta = delta;
    this.#refs = refs;
    this.#target = target;
    this.#codecs = codecs;
    this.#sectors = new BaseSectors(base);
  }

  /**
   * Applies up to 16 frames of the delta in their order.
   * @throws {AppError} ERR_PACK_INVALID when delta or base are damaged, or a frame comes out otherwise than in
   *   the target
   */
  async apply({ first, count }: FramesTask, visit: (applied: AppliedFrame) => void): Promise<void> {
    const frames = Uint32Array.from({ length: count }, (_, i) => first + i);
    const start = this.#delta.table.offset(first);
    await this.#delta.read(frames, false, (k, _, packed) => {
      this.#packed.set(packed, this.#delta.table.offset(k) - start);
    });
    for (const k of frames) {
      const at = this.#delta.table.offset(k) - start;
      const packed = this.#packed.subarray(at, at + this.#delta.table.packedLength(k));
      const frame = this.#refs.targetFrame(k);
      const dictionary = await this.#sectors.dictionary(this.#refs.runs(k));
      const raw = this.#decoder.unpackWith(packed, this.#target.rawLength(frame), dictionary);
      this.#garbage.add();
      if (!equalBytes(sha256(raw).subarray(0, RAW_HASH_BYTES), this.#target.rawHash(frame))) {
        throw invalid(k, frame, "yields other bytes than");
      }
      visit({ frame, raw, ...this.#packAgain(k, frame, raw) });
    }
  }

  #packAgain(k: number, frame: number, raw: Uint8Array): { readonly packed?: Uint8Array } {
    const level = this.#codecs.findLast(({ firstFrame }) => firstFrame <= frame)?.level;
    if (level === undefined) return {};
    let codec = this.#byLevel.get(level);
    if (codec === undefined) {
      codec = createCodec(level);
      this.#byLevel.set(level, codec);
    }
    const packed = codec.pack(raw);
    this.#garbage.add();
    if (!equalBytes(sha256(packed), this.#target.hash(frame))) {
      throw invalid(k, frame, "does not pack into");
    }
    return { packed };
  }
}

function invalid(k: number, frame: number, problem: string): AppError {
  return new AppError("ERR_PACK_INVALID", `frame ${k} of the delta ${problem} frame ${frame} of its target`, {
    details: { frame },
  });
}
