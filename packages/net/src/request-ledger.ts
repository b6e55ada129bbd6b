/** Requests of one direction that have no answer yet; the same rows may be asked for more than once. */
export class RequestLedger {
  readonly #entries = new Map<string, number[]>();
  #count = 0;
  #bytes = 0;

  /** Requests without an answer. */
  get count(): number {
    return this.#count;
  }

  /** Bytes they ask for. */
  get bytes(): number {
    return this.#bytes;
  }

  add(row: number, length: number, now: number): void {
    const key = keyOf(row, length);
    const times = this.#entries.get(key);
    if (times === undefined) this.#entries.set(key, [now]);
    else times.push(now);
    this.#count += 1;
    this.#bytes += length;
  }

  /** Takes the oldest of these requests off; false when there is none. */
  settle(row: number, length: number): boolean {
    const key = keyOf(row, length);
    const times = this.#entries.get(key);
    if (times === undefined) return false;
    times.shift();
    if (times.length === 0) this.#entries.delete(key);
    this.#count -= 1;
    this.#bytes -= length;
    return true;
  }

  has(row: number, length: number): boolean {
    return this.#entries.has(keyOf(row, length));
  }

  /** When the oldest was added, ms; undefined when there is none. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const [first] of this.#entries.values()) {
      if (first !== undefined && (oldest === undefined || first < oldest)) oldest = first;
    }
    return oldest;
  }

  clear(): void {
    this.#entries.clear();
    this.#count = 0;
    this.#bytes = 0;
  }
}

function keyOf(row: number, length: number): string {
  return `${row}:${length}`;
}
