import { FRAME_BYTES } from "@ckmesh/image";
import { DictionaryArea, type ZstdArea, ZstdWasm } from "../pack/zstd-wasm.js";

/**
 * Packs frames with dictionaries, each of which is used once. zstd as WebAssembly: it keeps its tables from frame to
 * frame, and reads the dictionary straight into them; the native binding makes an encoder of a megabyte for each.
 * Nobody has to arrive at the same bytes, so it need not be the codec of the packs.
 */
export class DictionaryEncoder {
  readonly #level: number;
  readonly #zstd: ZstdWasm;
  readonly #context: number;
  readonly #packed: ZstdArea;
  readonly #dictionary: DictionaryArea;

  private constructor(zstd: ZstdWasm, level: number) {
    this.#level = level;
    this.#zstd = zstd;
    this.#context = zstd.createCompressor();
    this.#packed = zstd.allocate(zstd.compressBound(FRAME_BYTES));
    this.#dictionary = new DictionaryArea(zstd);
  }

  /** @param level 1 to 12 */
  static async create(level: number): Promise<DictionaryEncoder> {
    return new DictionaryEncoder(await ZstdWasm.load(), level);
  }

  /**
   * The frame packed, even when that makes it no smaller; valid until anything is packed or unpacked in this thread.
   * @param raw at most 64 KiB
   * @param dictionary of at most 128 KiB, see `BaseSectors`
   */
  pack(raw: Uint8Array, dictionary: Uint8Array): Uint8Array {
    if (raw.length > FRAME_BYTES) throw new Error(`unreachable: a frame of ${raw.length} bytes`);
    const used = this.#dictionary.fill(dictionary);
    const from = { ...this.#dictionary.raw, length: raw.length };
    this.#zstd.bytes(from).set(raw);
    const packed = this.#zstd.compress(this.#context, this.#packed, from, used, this.#level);
    return this.#zstd.bytes(packed);
  }
}
