/// <reference lib="es2024.arraybuffer" />
import { MIB } from "./units.js";

/** Room for the longest answer of a peer, 1 MiB (`MAX_REQUEST_BYTES`), and what stands before it on the wire. */
const BLOCK_BYTES = MIB + 16;
/** What is shorter lies in the heap of the C library anyway (M_MMAP_THRESHOLD), and would waste most of a block. */
const MIN_BYTES = 128 * 1024;
/** Unused blocks that are kept, at most. */
const MAX_FREE_BLOCKS = 4;

/**
 * Memory for rows on their way to and from peers. Fresh memory for each megabyte comes from the heap of the C library
 * and is freed in no order, and most of the holes are never given back. Blocks are mapped one by one, which resizable
 * buffers are; they are used again, as mapping one costs as much as decrypting what it holds; and those that are too
 * many go back to the system at once, without waiting for the garbage collector.
 *
 * Whoever takes a block owns it. Who no longer uses it *may* give it back, once; one that is not given back is
 * collected like any other.
 */
export class BlockPool {
  readonly #free: ArrayBuffer[] = [];
  /** Blocks that somebody owns. */
  readonly #taken = new WeakSet<ArrayBufferLike>();

  /** `length` bytes of whatever was there before: to be filled whole. */
  take(length: number): Buffer {
    if (length < MIN_BYTES || length > BLOCK_BYTES) return Buffer.allocUnsafe(length);
    const block = this.#free.pop() ?? new ArrayBuffer(BLOCK_BYTES, { maxByteLength: BLOCK_BYTES });
    this.#taken.add(block);
    return Buffer.from(block, 0, length);
  }

  /**
   * Nobody reads or writes these bytes any more: a view of any part of a block gives the whole block back. Bytes of
   * another origin are left alone.
   */
  give(bytes: Uint8Array): void {
    const block = bytes.buffer;
    if (!(block instanceof ArrayBuffer) || !this.#taken.delete(block)) return;
    if (this.#free.length < MAX_FREE_BLOCKS) this.#free.push(block);
    else block.resize(0);
  }
}

/** One for all links and files of the process. */
export const rowBlocks = new BlockPool();
