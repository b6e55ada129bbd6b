import { AppError } from "@ckmesh/core";
import { checkZstdFrame, FRAME_BYTES, MAX_PACKED_FRAME_BYTES } from "@ckmesh/image";
import { DictionaryArea, type ZstdArea, ZstdWasm } from "./zstd-wasm.js";

/**
 * Unpacks frames, also those of deltas, each of which has a dictionary of its own. zstd as WebAssembly: it keeps its
 * context from frame to frame and unpacks into memory that stays. The native binding makes a decoder with a window of
 * 2 MB for each frame, whose memory the collector does not see, and takes about twice as long
 * (`test/bench/apply-pieces-bench.ts`).
 */
export class FrameDecoder {
  readonly #zstd: ZstdWasm;
  readonly #context: number;
  readonly #packed: ZstdArea;
  readonly #dictionary: DictionaryArea;

  private constructor(zstd: ZstdWasm) {
    this.#zstd = zstd;
    this.#context = zstd.createDecompressor();
    this.#packed = zstd.allocate(MAX_PACKED_FRAME_BYTES);
    this.#dictionary = new DictionaryArea(zstd);
  }

  static async create(): Promise<FrameDecoder> {
    return new FrameDecoder(await ZstdWasm.load());
  }

  /**
   * Exactly `rawLength` bytes, valid until anything is packed or unpacked in this thread; `packed` itself when it is
   * that long, which marks a stored frame. With a wrong dictionary the bytes are wrong without notice.
   * @param rawLength at most 64 KiB
   * @param dictionary of at most 128 KiB, see `BaseSectors`; none for frames of packs
   * @throws {AppError} ERR_PACK_INVALID for anything but one well-formed frame of that length
   */
  unpack(packed: Uint8Array, rawLength: number, dictionary?: Uint8Array): Uint8Array {
    if (packed.length === rawLength) return packed;
    if (rawLength > FRAME_BYTES) throw new Error(`unreachable: a frame of ${rawLength} bytes`);
    checkZstdFrame(packed, rawLength);
    const used = this.#dictionary.fill(dictionary);
    const from = { ...this.#packed, length: packed.length };
    this.#zstd.bytes(from).set(packed);
    let raw: ZstdArea;
    try {
      raw = this.#zstd.decompress(this.#context, { ...this.#dictionary.raw, length: rawLength }, from, used);
    } catch (cause) {
      throw new AppError("ERR_PACK_INVALID", "a packed frame cannot be decoded", { cause });
    }
    if (raw.length !== rawLength)
      throw new AppError("ERR_PACK_INVALID", `a frame has ${raw.length} bytes instead of ${rawLength}`);
    return this.#zstd.bytes(raw);
  }
}
