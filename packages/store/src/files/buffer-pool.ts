/** A fixed number of reusable buffers; who finds none waits. */
export class BufferPool<T> {
  readonly #free: T[];
  readonly #waiting: ((item: T) => void)[] = [];

  constructor(count: number, make: () => T) {
    this.#free = Array.from({ length: count }, make);
  }

  async take(): Promise<T> {
    const item = this.#free.pop();
    if (item !== undefined) return item;
    return await new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  give(item: T): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(item);
    else next(item);
  }
}

/** Shared zero bytes. */
export function sharedBytes(length: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(length));
}

/** A copy in shared memory. */
export function shareCopy(bytes: Uint8Array): Uint8Array {
  const shared = sharedBytes(bytes.length);
  shared.set(bytes);
  return shared;
}
