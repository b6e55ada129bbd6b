/** A set of span numbers with random access: adding, removing and sampling take constant time. */
export class SpanSet {
  readonly #items: number[] = [];
  readonly #positions = new Map<number, number>();

  get size(): number {
    return this.#items.length;
  }

  add(span: number): void {
    if (this.#positions.has(span)) return;
    this.#positions.set(span, this.#items.length);
    this.#items.push(span);
  }

  delete(span: number): void {
    const at = this.#positions.get(span);
    const last = this.#items.pop();
    if (at === undefined || last === undefined) {
      if (last !== undefined) this.#items.push(last);
      return;
    }
    this.#positions.delete(span);
    if (last === span) return;
    this.#items[at] = last;
    this.#positions.set(last, at);
  }

  at(index: number): number | undefined {
    return this.#items[index];
  }
}
