/** One piece of work at a time, in the order in which they were asked for. */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Settles as `work` does, when its turn has come. */
  async take(work: () => Promise<void>): Promise<void> {
    const run = this.#last.then(work);
    this.#last = run.catch(() => {}); // the caller of this one hears of it
    await run;
  }

  /** Everything asked for before has ended. */
  async ended(): Promise<void> {
    await this.#last;
  }
}
