import { createDCtx, decompressUsingDict } from "@bokuweb/zstd-wasm";
import { checkedDictionary, type FrameCodec, unpackChecked } from "../pack/codec.js";
import { loadZstd } from "./zstd-wasm.js";

/**
 * Unpacks the frames of a base and those of a delta, each of which has a dictionary of its own. zstd as WebAssembly:
 * it keeps its context from frame to frame and reads the dictionary where it lies, while the native binding makes a
 * decoder for each, whose memory the collector does not see. What applying costs: `test/bench/apply-bench.ts`.
 */
export class DictionaryDecoder implements Pick<FrameCodec, "unpack"> {
  /** Lives as long as its thread. */
  readonly #context: number;

  private constructor() {
    this.#context = createDCtx();
  }

  static async create(): Promise<DictionaryDecoder> {
    await loadZstd();
    return new DictionaryDecoder();
  }

  /**
   * As `FrameCodec.unpack`. With a wrong dictionary it yields wrong bytes without notice.
   * @param dictionary raw content that begins with 8 zero bytes; none for frames of a base
   * @throws {AppError} ERR_PACK_INVALID
   */
  unpack(packed: Uint8Array, rawLength: number, dictionary?: Uint8Array): Uint8Array {
    const content = dictionary === undefined ? new Uint8Array(0) : checkedDictionary(dictionary);
    // A frame that does not say its length gets room for the right one, and fails beyond.
    const room = { defaultHeapSize: rawLength };
    return unpackChecked(packed, rawLength, () => decompressUsingDict(this.#context, packed, content, room));
  }
}
