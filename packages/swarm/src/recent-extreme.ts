/** Parts that a window is kept in: so coarse is its end. */
const PARTS = 10;

/** The least or the greatest of the values of the last while. Times without a value do not count: nothing was learnt. */
export class RecentExtreme {
  readonly #pick: (a: number, b: number) => number;
  readonly #partMs: number;
  /** By number of the part since time began, oldest first. */
  readonly #parts = new Map<number, number>();

  constructor(kind: "least" | "greatest", windowMs: number) {
    this.#pick = kind === "least" ? Math.min : Math.max;
    this.#partMs = windowMs / PARTS;
  }

  add(value: number, now: number): void {
    const part = Math.floor(now / this.#partMs);
    const known = this.#parts.get(part);
    this.#parts.set(part, known === undefined ? value : this.#pick(known, value));
    for (const oldest of this.#parts.keys()) {
      if (this.#parts.size <= PARTS) break;
      this.#parts.delete(oldest);
    }
  }

  /** Undefined before the first value. */
  get value(): number | undefined {
    const values = [...this.#parts.values()];
    return values.length === 0 ? undefined : values.reduce(this.#pick);
  }
}
