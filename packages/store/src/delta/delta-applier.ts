import { AppError, equalBytes, isAppError, sha256 } from "@ckmesh/core";
import { type DeltaRefs, FRAME_BYTES, type FrameTable, RAW_HASH_BYTES } from "@ckmesh/image";
import { createCodec, type FrameCodec } from "../pack/codec.js";
import { CodecGarbage } from "../pack/codec-garbage.js";
import type { FrameDecoder } from "../pack/frame-decoder.js";
import type { FrameReader } from "../pack/frame-reader.js";
import { levelOf, type UsableCodec } from "../pack/usable-codecs.js";
import type { ZstdArea } from "../pack/zstd-wasm.js";
import type { BaseDictionary } from "./base-dictionary.js";
import {
  type AppliedFrames,
  type ApplyFailure,
  type ApplyTask,
  DELTA_FRAMES_PER_TASK,
} from "./delta-tasks.js";

/** Packed as in its target, or, where this machine cannot pack it so, decoded. */
interface MadeFrame {
  readonly packed?: Uint8Array;
  readonly raw?: Uint8Array;
}

/** One thread's part in applying a delta. Everything it hands out is proven. */
export class DeltaApplier {
  readonly #delta: FrameReader;
  readonly #refs: DeltaRefs;
  readonly #target: FrameTable;
  readonly #codecs: readonly UsableCodec[];
  readonly #byLevel = new Map<number, FrameCodec>();
  readonly #dictionaries: BaseDictionary;
  readonly #decoder: FrameDecoder;
  readonly #garbage = new CodecGarbage();
  // Reused: what outlives a few frames is collected late, and holds its memory until then.
  readonly #deltaFrames = new Uint8Array(DELTA_FRAMES_PER_TASK * FRAME_BYTES);
  readonly #packed = new Uint8Array(DELTA_FRAMES_PER_TASK * FRAME_BYTES);

  /** Delta, base and target have been found to fit (`checkDeltaFits`). */
  constructor(
    delta: FrameReader,
    dictionaries: BaseDictionary,
    refs: DeltaRefs,
    target: FrameTable,
    codecs: readonly UsableCodec[],
    decoder: FrameDecoder,
  ) {
    this.#delta = delta;
    this.#refs = refs;
    this.#target = target;
    this.#codecs = codecs;
    this.#decoder = decoder;
    this.#dictionaries = dictionaries;
  }

  /** Applies up to 16 frames of the delta; one that fails does not keep the others from coming. */
  async apply({ frames, keepsPacked }: ApplyTask): Promise<AppliedFrames> {
    const failures: ApplyFailure[] = [];
    const fail = (reason: ApplyFailure["reason"], k: number, err: unknown): void => {
      if (!isAppError(err, "ERR_PACK_INVALID")) throw err;
      const frame = reason === "misfit" ? this.#refs.targetFrame(k) : Number(err.details["frame"]);
      failures.push({ reason, k, frame, message: err.message });
    };
    const found = await this.#readDelta(frames, (k, err) => fail("delta-damaged", k, err));
    const lengths = new Uint32Array(frames.length);
    const decoded: { readonly k: number; readonly raw: Uint8Array }[] = [];
    let length = 0;
    for (const [i, k] of frames.entries()) {
      const deltaFrame = found[i];
      if (deltaFrame === undefined) continue;
      let made: MadeFrame | undefined;
      try {
        const dictionary = await this.#dictionaries.make(this.#refs.runs(k));
        made = this.#turn(k, deltaFrame, dictionary, keepsPacked);
      } catch (first) {
        if (!isAppError(first, "ERR_PACK_INVALID")) throw first;
        let dictionary: ZstdArea;
        try {
          // The hashes of the target prove the base as well; whether it is to blame shows only when they do not.
          dictionary = await this.#dictionaries.makeProven(this.#refs.runs(k));
        } catch (err) {
          fail("base-damaged", k, err);
          continue;
        }
        try {
          made = this.#turn(k, deltaFrame, dictionary, keepsPacked);
        } catch (err) {
          fail("misfit", k, err);
          continue;
        }
      }
      if (made === undefined) continue;
      const { packed, raw } = made;
      if (raw !== undefined) decoded.push({ k, raw });
      if (packed === undefined) continue;
      lengths[i] = packed.length;
      if (!keepsPacked) continue;
      this.#packed.set(packed, length);
      length += packed.length;
    }
    return { packed: this.#packed.slice(0, length), lengths, failures, decoded };
  }

  /**
   * The frame of the target, proven; undefined: this machine cannot pack it so, and nothing is kept.
   * @throws {AppError} ERR_PACK_INVALID when something else comes out
   */
  #turn(
    k: number,
    deltaFrame: Uint8Array,
    dictionary: ZstdArea,
    keepsPacked: boolean,
  ): MadeFrame | undefined {
    const raw = this.#decoder.unpack(
      deltaFrame,
      this.#target.rawLength(this.#refs.targetFrame(k)),
      dictionary,
    );
    // What is kept is proven by the hash of the packed frame.
    if (!keepsPacked) this.#proveRaw(k, raw);
    const packed = this.#packAgain(k, raw);
    if (packed !== undefined) return { packed };
    if (!keepsPacked) return undefined;
    this.#proveRaw(k, raw);
    return { raw: raw.slice() };
  }

  /** The packed frames of the delta, each undefined that is damaged. */
  async #readDelta(
    frames: Uint32Array,
    fail: (k: number, err: unknown) => void,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    const found: (Uint8Array | undefined)[] = [];
    const read = async (some: Uint32Array): Promise<void> =>
      await this.#delta.read(some, false, (k, _, packed) => {
        const i = frames.indexOf(k);
        const place = this.#deltaFrames.subarray(i * FRAME_BYTES, i * FRAME_BYTES + packed.length);
        place.set(packed);
        found[i] = place;
      });
    try {
      await read(frames);
    } catch {
      // One by one, to find which of them it is.
      for (let i = 0; i < frames.length; i += 1) {
        try {
          await read(frames.subarray(i, i + 1));
        } catch (err) {
          fail(frames[i] ?? 0, err);
        }
      }
    }
    return found;
  }

  #proveRaw(k: number, raw: Uint8Array): void {
    const frame = this.#refs.targetFrame(k);
    if (equalBytes(sha256(raw).subarray(0, RAW_HASH_BYTES), this.#target.rawHash(frame))) return;
    throw misfit(k, frame, "yields other bytes than");
  }

  /** The frame as in the target's pack, proven by its hash; undefined where this machine cannot pack it so. */
  #packAgain(k: number, raw: Uint8Array): Uint8Array | undefined {
    const frame = this.#refs.targetFrame(k);
    const level = levelOf(this.#codecs, frame);
    if (level === undefined) return undefined;
    let codec = this.#byLevel.get(level);
    if (codec === undefined) {
      codec = createCodec(level);
      this.#byLevel.set(level, codec);
    }
    const packed = codec.pack(raw);
    this.#garbage.add();
    if (equalBytes(sha256(packed), this.#target.hash(frame))) return packed;
    this.#proveRaw(k, raw);
    throw misfit(k, frame, "does not pack into");
  }
}

function misfit(k: number, frame: number, problem: string): AppError {
  return new AppError("ERR_PACK_INVALID", `frame ${k} of the delta ${problem} frame ${frame} of its target`);
}
