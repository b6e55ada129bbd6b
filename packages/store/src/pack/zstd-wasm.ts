/* oxlint-disable eslint/no-underscore-dangle -- emscripten names functions so */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type * as Package from "@bokuweb/zstd-wasm";
import { AppError } from "@ckmesh/core";
import { FRAME_BYTES, MAX_DICTIONARY_SECTORS, SECTOR_BYTES } from "@ckmesh/image";
import { DICTIONARY_PREFIX_BYTES } from "./codec.js";

/** A stretch of the memory of zstd. */
export interface ZstdArea {
  readonly address: number;
  /** In bytes. */
  readonly length: number;
}

/** No dictionary. */
export const NO_AREA: ZstdArea = { address: 0, length: 0 };
export const MAX_DICTIONARY_BYTES = DICTIONARY_PREFIX_BYTES + MAX_DICTIONARY_SECTORS * SECTOR_BYTES;

/** What the functions of the package are made of, as emscripten names it. */
interface ZstdModule {
  /** All of its memory: another array after it has grown. */
  readonly HEAPU8: Uint8Array;
  readonly _malloc: (bytes: number) => number;
  readonly _ZSTD_isError: (result: number) => number;
  readonly _ZSTD_compressBound: (bytes: number) => number;
  readonly _ZSTD_createCCtx: () => number;
  readonly _ZSTD_createDCtx: () => number;
  readonly _ZSTD_compress_usingDict: ZstdCall;
  readonly _ZSTD_decompress_usingDict: ZstdCall;
}

/** What zstd itself says of what it was given; anything else that is thrown says nothing of the bytes. */
export class ZstdFault extends Error {
  override readonly name = "ZstdFault";
}

/** `context, to, room, from, bytes, dictionary, dictionary bytes` and, for compressing, the level. */
type ZstdCall = (...args: readonly number[]) => number;

/**
 * zstd as WebAssembly, in this thread, used where its bytes lie. The functions of the package make and copy a buffer
 * for everything at each call, which took more than half the time of decoding.
 */
export class ZstdWasm {
  static #loaded: Promise<ZstdWasm> | undefined;
  readonly #module: ZstdModule;

  private constructor(module: ZstdModule) {
    this.#module = module;
  }

  /** Once for this thread: a second `init` would take the memory away from contexts that were made before. */
  static async load(): Promise<ZstdWasm> {
    ZstdWasm.#loaded ??= load().then((module) => new ZstdWasm(module));
    return await ZstdWasm.#loaded;
  }

  /** Most bytes that compressing `bytes` bytes can yield. */
  compressBound(bytes: number): number {
    return this.#module._ZSTD_compressBound(bytes);
  }

  /** Room that lives as long as the thread. @throws {AppError} ERR_INTERNAL when there is no memory */
  allocate(length: number): ZstdArea {
    return { address: given(this.#module._malloc(length), `an area of ${length} bytes`), length };
  }

  /** The bytes of an area, until the next call of another method: the memory may grow, and then moves. */
  bytes({ address, length }: ZstdArea): Uint8Array {
    return this.#module.HEAPU8.subarray(address, address + length);
  }

  /** Copies `length` bytes from one address to another. */
  copy(to: number, from: number, length: number): void {
    this.#module.HEAPU8.copyWithin(to, from, from + length);
  }

  /** A context for `compress`; lives as long as the thread. @throws {AppError} as `allocate` */
  createCompressor(): number {
    return given(this.#module._ZSTD_createCCtx(), "a compressor");
  }

  /** A context for `decompress`; lives as long as the thread. @throws {AppError} as `allocate` */
  createDecompressor(): number {
    return given(this.#module._ZSTD_createDCtx(), "a decompressor");
  }

  /** Packs `from` into `to`; answers what of it is filled. @throws {ZstdFault} when that fails */
  compress(context: number, to: ZstdArea, from: ZstdArea, dictionary: ZstdArea, level: number): ZstdArea {
    const packed = this.#module._ZSTD_compress_usingDict(
      context,
      to.address,
      to.length,
      from.address,
      from.length,
      dictionary.address,
      dictionary.length,
      level,
    );
    return { address: to.address, length: this.#checked(packed) };
  }

  /**
   * Unpacks the first `packedBytes` of `from` to the address `to`, where there is room for `room` bytes; answers how
   * many come of it. Numbers, as it is called for each frame.
   * @throws {ZstdFault} when that is no frame, or needs more room
   */
  decompress(
    context: number,
    to: number,
    room: number,
    from: ZstdArea,
    packedBytes: number,
    dictionary: ZstdArea,
  ): number {
    return this.#checked(
      this.#module._ZSTD_decompress_usingDict(
        context,
        to,
        room,
        from.address,
        packedBytes,
        dictionary.address,
        dictionary.length,
      ),
    );
  }

  /** The number of bytes that a call has made. */
  #checked(result: number): number {
    if (this.#module._ZSTD_isError(result) !== 0) throw new ZstdFault(`zstd failed (${result})`);
    return result;
  }
}

/**
 * Where the dictionary of one frame after the other is put: right before the raw bytes of the frame. zstd notices that
 * they follow each other, and takes both for one stretch, which is faster than a stretch and a dictionary apart.
 */
export class DictionaryArea {
  readonly #zstd: ZstdWasm;
  /** The raw bytes of a frame. */
  readonly raw: ZstdArea;

  constructor(zstd: ZstdWasm) {
    this.#zstd = zstd;
    const { address } = zstd.allocate(MAX_DICTIONARY_BYTES + FRAME_BYTES);
    this.raw = { address: address + MAX_DICTIONARY_BYTES, length: FRAME_BYTES };
  }

  /** @param dictionary raw content that begins with 8 zero bytes */
  fill(dictionary: Uint8Array): ZstdArea {
    for (let i = 0; i < DICTIONARY_PREFIX_BYTES; i += 1) {
      if (dictionary[i] !== 0) throw new Error("unreachable: a dictionary without its zero bytes");
    }
    const { length } = dictionary;
    if (length > MAX_DICTIONARY_BYTES) throw new Error("unreachable: a long dictionary");
    const area = { address: this.raw.address - length, length };
    this.#zstd.bytes(area).set(dictionary);
    return area;
  }
}

/** @returns the address, which is 0 when there is no memory */
function given(address: number, what: string): number {
  if (address === 0) throw new AppError("ERR_INTERNAL", `no memory for ${what} of zstd`);
  return address;
}

async function load(): Promise<ZstdModule> {
  const require = createRequire(import.meta.url);
  // Not imported: for a CommonJS package that takes 10 ms longer, in each thread.
  const { init }: typeof Package = require("@bokuweb/zstd-wasm");
  await init();
  // Beside the package's entry, which does not export it. Its version is pinned, and what is used of it checked.
  const exported: unknown = require(join(dirname(require.resolve("@bokuweb/zstd-wasm")), "module.js"));
  const module =
    typeof exported === "object" && exported !== null && "Module" in exported ? exported.Module : {};
  if (!isZstdModule(module)) throw new Error("unreachable: @bokuweb/zstd-wasm has changed");
  return module;
}

function isZstdModule(module: unknown): module is ZstdModule {
  if (typeof module !== "object" || module === null) return false;
  const parts = new Map(Object.entries(module));
  const isCallable = (name: string): boolean => typeof parts.get(name) === "function";
  return (
    parts.get("HEAPU8") instanceof Uint8Array &&
    ["_malloc", "_ZSTD_isError", "_ZSTD_compressBound", "_ZSTD_createCCtx", "_ZSTD_createDCtx"].every(
      isCallable,
    ) &&
    ["_ZSTD_compress_usingDict", "_ZSTD_decompress_usingDict"].every(isCallable)
  );
}
