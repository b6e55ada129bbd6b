/**
 * Read buffers of one size, kept for reuse. One that is never given back is simply collected: the pool
 * bounds what is kept, not what is out.
 */
export class BufferPool {
  readonly bufferBytes: number;
  readonly #keep: number;
  readonly #free: Buffer[] = [];

  /** @param keep most idle buffers */
  constructor(bufferBytes: number, keep: number) {
    this.bufferBytes = bufferBytes;
    this.#keep = keep;
  }

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.bufferBytes);
  }

  /** Gives a buffer back that nobody uses any more. */
  give(buffer: Buffer): void {
    if (this.#free.length < this.#keep && buffer.byteLength === this.bufferBytes) this.#free.push(buffer);
  }

  get idle(): number {
    return this.#free.length;
  }
}
