import { AppError } from "@ckmesh/core";
import { checkZstdFrame, FRAME_BYTES, MAX_PACKED_FRAME_BYTES } from "@ckmesh/image";
import { MAX_DICTIONARY_BYTES, NO_AREA, type ZstdArea, ZstdFault, ZstdWasm } from "./zstd-wasm.js";

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
  readonly #raw: ZstdArea;

  private constructor(zstd: ZstdWasm) {
    this.#zstd = zstd;
    this.#context = zstd.createDecompressor();
    this.#packed = zstd.allocate(MAX_PACKED_FRAME_BYTES);
    const { address } = zstd.allocate(MAX_DICTIONARY_BYTES + FRAME_BYTES);
    this.#raw = { address: address + MAX_DICTIONARY_BYTES, length: FRAME_BYTES };
  }

  /** @throws {AppError} ERR_INTERNAL when there is no memory */
  static async create(): Promise<FrameDecoder> {
    return new FrameDecoder(await ZstdWasm.load());
  }

  /**
   * Address behind room for a dictionary. One that ends here is taken together with the raw bytes of the frame, which
   * follow, for one stretch: faster than a stretch and a dictionary apart.
   */
  get dictionaryEnd(): number {
    return this.#raw.address;
  }

  /**
   * Exactly `rawLength` bytes, valid until anything is packed or unpacked in this thread; `packed` itself when it is
   * that long, which marks a stored frame. With a wrong dictionary the bytes are wrong without notice.
   * @param rawLength at most 64 KiB
   * @param dictionary of at most 128 KiB, see `BaseDictionary`; none for frames of packs
   * @throws {AppError} ERR_PACK_INVALID for anything but one well-formed frame of that length
   */
  unpack(packed: Uint8Array, rawLength: number, dictionary = NO_AREA): Uint8Array {
    if (packed.length === rawLength) return packed;
    const { address } = this.#raw;
    this.#decode(address, packed, rawLength, dictionary);
    return this.#zstd.bytes({ address, length: rawLength });
  }

  /**
   * Puts exactly `rawLength` bytes at the address `to`, where there is room for a frame.
   * @throws {AppError} ERR_PACK_INVALID as `unpack`
   */
  unpackInto(to: number, packed: Uint8Array, rawLength: number): void {
    if (packed.length === rawLength) this.#zstd.bytes({ address: to, length: rawLength }).set(packed);
    else this.#decode(to, packed, rawLength, NO_AREA);
  }

  #decode(to: number, packed: Uint8Array, rawLength: number, dictionary: ZstdArea): void {
    if (rawLength > FRAME_BYTES) throw new Error(`unreachable: a frame of ${rawLength} bytes`);
    checkZstdFrame(packed, rawLength);
    this.#zstd.bytes(this.#packed).set(packed);
    let length: number;
    try {
      length = this.#zstd.decompress(this.#context, to, rawLength, this.#packed, packed.length, dictionary);
    } catch (cause) {
      // Out of memory, or a trap of WebAssembly: the frame may be good.
      if (!(cause instanceof ZstdFault)) throw cause;
      throw new AppError("ERR_PACK_INVALID", "a packed frame cannot be decoded", { cause });
    }
    if (length !== rawLength)
      throw new AppError("ERR_PACK_INVALID", `a frame has ${length} bytes instead of ${rawLength}`);
  }
}
