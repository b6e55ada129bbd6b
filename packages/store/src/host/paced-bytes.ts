/** Asked for at once: files are small, and each question goes to another thread and back. */
const PORTION_BYTES = 1 << 20;

/** The bytes that one scan may read, asked for in portions. Once it has ended, all may. */
export class PacedBytes {
  readonly #ask: (bytes: number) => void;
  #left = 0;
  #isEnded = false;
  #go: (() => void) | undefined;

  constructor(ask: (bytes: number) => void) {
    this.#ask = ask;
  }

  /** Resolves when so many bytes may be read. One call at a time. */
  async admit(bytes: number): Promise<void> {
    if (this.#isEnded) return;
    if (this.#left < bytes) {
      const portion = Math.max(bytes, PORTION_BYTES);
      const answered = new Promise<void>((resolve) => {
        this.#go = resolve;
      });
      this.#ask(portion);
      await answered;
      this.#left += portion;
    }
    this.#left -= bytes;
  }

  /** What was asked for may be read. */
  admitted(): void {
    this.#go?.();
  }

  end(): void {
    this.#isEnded = true;
    this.#go?.();
  }
}
