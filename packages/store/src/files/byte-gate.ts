/** Bounds the bytes that are in flight: `enter` waits until there is room. One larger than the limit goes alone. */
export class ByteGate {
  readonly #limit: number;
  #used = 0;
  readonly #waiting: { readonly bytes: number; readonly go: () => void }[] = [];

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  /** Runs `work` once `bytes` fit, and gives them back when it has settled. */
  async run<T>(bytes: number, work: () => Promise<T>): Promise<T> {
    await this.#enter(bytes);
    try {
      return await work();
    } finally {
      this.#leave(bytes);
    }
  }

  #enter(bytes: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#fits(bytes)) {
      this.#used += bytes;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#waiting.push({ bytes, go: resolve });
    });
  }

  #leave(bytes: number): void {
    this.#used -= bytes;
    for (let next = this.#waiting[0]; next !== undefined && this.#fits(next.bytes); next = this.#waiting[0]) {
      this.#waiting.shift();
      this.#used += next.bytes;
      next.go();
    }
  }

  #fits(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes <= this.#limit;
  }
}
