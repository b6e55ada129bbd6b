/** One piece of work at a time, in the order in which they were asked for. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** Settles as `work` does, when its turn has come. */
  async take<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(work);
    this.#last = run.catch(() => {}); // the caller of this one hears of it
    return await run;
  }

  /** Everything asked for before has ended. */
  async ended(): Promise<void> {
    await this.#last;
  }
}
