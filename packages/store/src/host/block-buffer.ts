import { RECORD_BYTES, writeRecord } from "./block-record.js";
import { keyOrder } from "./key-order.js";

const LOW = 2 ** 16;

/** Blocks that were hashed and are not on the disk yet: 14 bytes each. */
export class BlockBuffer {
  readonly #capacity: number;
  readonly #high: Uint32Array;
  readonly #low: Uint16Array;
  readonly #files: Uint32Array;
  readonly #blocks: Uint32Array;
  #count = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#high = new Uint32Array(capacity);
    this.#low = new Uint16Array(capacity);
    this.#files = new Uint32Array(capacity);
    this.#blocks = new Uint32Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.#capacity;
  }

  /** @param hash whose first 6 bytes are the id of the block */
  add(hash: Uint8Array, file: number, block: number): void {
    const at = this.#count;
    const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = hash;
    this.#high[at] = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
    this.#low[at] = (e << 8) | f;
    this.#files[at] = file;
    this.#blocks[at] = block;
    this.#count += 1;
  }

  /** All of them as records, by rising id; the buffer is empty then. */
  take(): Buffer {
    const records = Buffer.allocUnsafe(this.#count * RECORD_BYTES);
    let at = 0;
    for (const i of keyOrder(this.#high, this.#low, this.#count)) {
      const key = (this.#high[i] ?? 0) * LOW + (this.#low[i] ?? 0);
      writeRecord(records, at, key, this.#files[i] ?? 0, this.#blocks[i] ?? 0);
      at += RECORD_BYTES;
    }
    this.#count = 0;
    return records;
  }
}
