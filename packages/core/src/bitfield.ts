/** First index and count of a run of set bits. */
export interface Run {
  readonly first: number;
  readonly count: number;
}

/** A fixed number of bits, most significant first within a byte as on the wire (BEP 3). Counts its set bits. */
export class Bitfield {
  readonly length: number;
  readonly #bytes: Uint8Array;
  #count = 0;

  constructor(length: number) {
    if (!Number.isSafeInteger(length) || length < 0)
      throw new Error(`unreachable: bitfield of ${length} bits`);
    this.length = length;
    this.#bytes = new Uint8Array(Math.ceil(length / 8));
  }

  /** Copies `bytes`; bits past `length` and missing bytes count as clear. */
  static from(bytes: Uint8Array, length: number): Bitfield {
    const field = new Bitfield(length);
    field.#bytes.set(bytes.subarray(0, field.#bytes.length));
    const spare = field.#bytes.length * 8 - length;
    const last = field.#bytes.length - 1;
    if (spare > 0) field.#bytes[last] = (field.#bytes[last] ?? 0) & (0xff << spare);
    for (const byte of field.#bytes) field.#count += POPULATION[byte] ?? 0;
    return field;
  }

  static full(length: number): Bitfield {
    return Bitfield.from(new Uint8Array(Math.ceil(length / 8)).fill(0xff), length);
  }

  /** Number of set bits. */
  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.length;
  }

  has(index: number): boolean {
    return ((this.#bytes[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0 && index < this.length;
  }

  /** Sets a bit; true if it was clear. Indexes outside are ignored. */
  add(index: number): boolean {
    if (index < 0 || index >= this.length || this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) | (0x80 >> (index & 7));
    this.#count += 1;
    return true;
  }

  /** Sets every bit of a run, as far as they lie inside. */
  addRun({ first, count }: Run): void {
    const end = Math.min(this.length, first + count);
    for (let at = Math.max(0, first); at < end; ) {
      if ((at & 7) !== 0 || end - at < 8) {
        this.add(at);
        at += 1;
        continue;
      }
      this.#count += 8 - (POPULATION[this.#bytes[at >> 3] ?? 0] ?? 0);
      this.#bytes[at >> 3] = 0xff;
      at += 8;
    }
  }

  /** Clears a bit; true if it was set. */
  delete(index: number): boolean {
    if (index < 0 || !this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) & ~(0x80 >> (index & 7));
    this.#count -= 1;
    return true;
  }

  /** True if every bit of [first, first + count) is set. */
  hasAll(first: number, count: number): boolean {
    return this.next(first, false) >= first + count;
  }

  /** The lowest index ≥ `from` whose bit is `value`, or `length`. */
  next(from: number, value: boolean): number {
    const skip = value ? 0 : 0xff;
    let i = Math.max(0, from);
    while (i < this.length) {
      if ((i & 7) === 0 && this.#bytes[i >> 3] === skip) {
        i += 8;
        continue;
      }
      if (this.has(i) === value) return i;
      i += 1;
    }
    return this.length;
  }

  /** Runs of set (or clear) bits within [first, first + count), in order. */
  *runs(value = true, first = 0, count = this.length - first): Generator<Run> {
    const end = Math.min(this.length, first + count);
    for (let at = this.next(first, value); at < end; ) {
      const stop = Math.min(end, this.next(at, !value));
      yield { first: at, count: stop - at };
      at = this.next(stop, value);
    }
  }

  /** A copy of the bytes, as on the wire. */
  toBytes(): Uint8Array {
    return this.#bytes.slice();
  }

  clone(): Bitfield {
    return Bitfield.from(this.#bytes, this.length);
  }
}

const POPULATION = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);
