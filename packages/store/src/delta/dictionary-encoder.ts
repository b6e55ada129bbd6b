import { compressUsingDict, createCCtx } from "@bokuweb/zstd-wasm";
import { checkedDictionary } from "../pack/codec.js";
import { loadZstd } from "./zstd-wasm.js";

/**
 * Packs frames with dictionaries, each of which is used once. zstd as WebAssembly: it keeps its tables from frame to
 * frame, and reads the dictionary straight into them; the native binding makes an encoder of a megabyte for each.
 * Nobody has to arrive at the same bytes, so it need not be the codec of the packs.
 */
export class DictionaryEncoder {
  readonly #level: number;
  readonly #context: number;

  private constructor(level: number) {
    this.#level = level;
    // Lives as long as its thread.
    this.#context = createCCtx();
  }

  /** @param level 1 to 12 */
  static async create(level: number): Promise<DictionaryEncoder> {
    await loadZstd();
    return new DictionaryEncoder(level);
  }

  /**
   * The frame packed, even when that makes it no smaller.
   * @param dictionary raw content that begins with 8 zero bytes
   */
  pack(raw: Uint8Array, dictionary: Uint8Array): Uint8Array {
    return compressUsingDict(this.#context, raw, checkedDictionary(dictionary), this.#level);
  }
}
