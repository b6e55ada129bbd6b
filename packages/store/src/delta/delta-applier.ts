import { AppError, equalBytes, isAppError, sha256 } from "@ckmesh/core";
import { type DeltaRefs, FRAME_BYTES, type FrameTable, RAW_HASH_BYTES } from "@ckmesh/image";
import { createCodec, type FrameCodec } from "../pack/codec.js";
import { CodecGarbage } from "../pack/codec-garbage.js";
import type { FrameDecoder } from "../pack/frame-decoder.js";
import type { FrameReader } from "../pack/frame-reader.js";
import { levelOf, type UsableCodec } from "../pack/usable-codecs.js";
import type { ZstdArea } from "../pack/zstd-wasm.js";
import type { BaseDictionary, Piece } from "./base-dictionary.js";
import { type AppliedFrames, type ApplyFailure, type ApplyTask, DELTA_TASK_BYTES } from "./delta-tasks.js";

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
  /** Reused: what outlives a few frames is collected late, and holds its memory until then. */
  readonly #deltaFrames = new Uint8Array(DELTA_TASK_BYTES);

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
  async apply({ frames, packed }: ApplyTask): Promise<AppliedFrames> {
    const failures: ApplyFailure[] = [];
    const fail = (reason: ApplyFailure["reason"], k: number, err: unknown): void => {
      if (!isAppError(err, "ERR_PACK_INVALID")) throw err;
      const frame = reason === "misfit" ? this.#refs.targetFrame(k) : Number(err.details["frame"]);
      failures.push({ reason, k, frame, message: err.message });
    };
    const dictionaries = Array.from(frames, (k) => this.#dictionaries.piecesOf(this.#refs.runs(k)));
    await this.#dictionaries.prepare(dictionaries.flat());
    const found = await this.#readDelta(frames, (k, err) => fail("delta-damaged", k, err));
    const lengths = new Uint32Array(frames.length);
    const decoded: { readonly k: number; readonly raw: Uint8Array }[] = [];
    let length = 0;
    for (const [i, k] of frames.entries()) {
      const deltaFrame = found[i];
      const pieces = dictionaries[i];
      if (deltaFrame === undefined || pieces === undefined) continue;
      const made = await this.#make(k, deltaFrame, pieces, packed !== undefined, fail);
      if (made?.raw !== undefined) decoded.push({ k, raw: made.raw });
      if (made?.packed === undefined) continue;
      lengths[i] = made.packed.length;
      packed?.set(made.packed, length);
      length += made.packed.length;
    }
    return { lengths, failures, decoded };
  }

  /** What frame `k` of the delta yields, proven; undefined: nothing. */
  async #make(
    k: number,
    deltaFrame: Uint8Array,
    pieces: readonly Piece[],
    isKept: boolean,
    fail: (reason: ApplyFailure["reason"], k: number, err: unknown) => void,
  ): Promise<MadeFrame | undefined> {
    try {
      return this.#turn(k, deltaFrame, await this.#dictionaries.make(pieces), isKept);
    } catch (err) {
      if (!isAppError(err, "ERR_PACK_INVALID")) throw err;
    }
    // The hashes of the target prove delta and base as well; which of them is to blame shows only when they do not.
    let reason: ApplyFailure["reason"] = "delta-damaged";
    try {
      this.#delta.prove(k, deltaFrame);
      reason = "base-damaged";
      const dictionary = await this.#dictionaries.makeProven(pieces);
      reason = "misfit";
      return this.#turn(k, deltaFrame, dictionary, isKept);
    } catch (err) {
      fail(reason, k, err);
      return undefined;
    }
  }

  /**
   * The frame of the target, proven; undefined: this machine cannot pack it so, and nothing is kept.
   * @throws {AppError} ERR_PACK_INVALID when something else comes out
   */
  #turn(k: number, deltaFrame: Uint8Array, dictionary: ZstdArea, isKept: boolean): MadeFrame | undefined {
    const raw = this.#decoder.unpack(
      deltaFrame,
      this.#target.rawLength(this.#refs.targetFrame(k)),
      dictionary,
    );
    // What is kept is proven by the hash of the packed frame.
    if (!isKept) this.#proveRaw(k, raw);
    const packed = this.#packAgain(k, raw);
    if (packed !== undefined) return { packed };
    if (!isKept) return undefined;
    this.#proveRaw(k, raw);
    return { raw: raw.slice() };
  }

  /** The packed frames of the delta as they lie here, each undefined that cannot be read. */
  async #readDelta(
    frames: Uint32Array,
    fail: (k: number, err: unknown) => void,
  ): Promise<readonly (Uint8Array | undefined)[]> {
    const found: (Uint8Array | undefined)[] = [];
    const read = async (some: Uint32Array): Promise<void> =>
      await this.#delta.readUnproven(some, (k, packed) => {
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
