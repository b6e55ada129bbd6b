/**
 * Deals tasks 0, 1, 2 … to lanes so that neighbours come to the same lane, one after the other: each lane has a
 * stretch of its own, and when that is done takes the last task of the lane that has most left.
 */
export class TaskLanes {
  /** Next task of each lane. */
  readonly #next: number[];
  /** One past the last task of each lane. */
  readonly #ends: number[];

  constructor(count: number, lanes: number) {
    const start = (lane: number): number => Math.ceil((count * lane) / lanes);
    this.#next = Array.from({ length: lanes }, (_, lane) => start(lane));
    this.#ends = Array.from({ length: lanes }, (_, lane) => start(lane + 1));
  }

  /** The task that a lane does next; undefined: none is left. */
  take(lane: number): number | undefined {
    if (this.#left(lane) > 0) {
      const task = this.#next[lane] ?? 0;
      this.#next[lane] = task + 1;
      return task;
    }
    let most = 0;
    for (let other = 1; other < this.#ends.length; other += 1) {
      if (this.#left(other) > this.#left(most)) most = other;
    }
    if (this.#left(most) === 0) return undefined;
    const task = (this.#ends[most] ?? 0) - 1;
    this.#ends[most] = task;
    return task;
  }

  /** Nothing more is dealt. */
  clear(): void {
    this.#ends.fill(0);
  }

  #left(lane: number): number {
    return Math.max(0, (this.#ends[lane] ?? 0) - (this.#next[lane] ?? 0));
  }
}

/** Tasks of one lane at once: while what came of one is stored, its thread works on the next. */
export const TASKS_PER_LANE = 2;

/**
 * Runs `count` tasks in lanes as `TaskLanes` deals them, two at a time in each. Stops at the first failure and waits
 * for what still runs.
 */
export async function runInLanes(
  count: number,
  lanes: number,
  run: (i: number, lane: number) => Promise<void>,
): Promise<void> {
  const tasks = new TaskLanes(count, lanes);
  const work = async (lane: number): Promise<void> => {
    try {
      for (let i = tasks.take(lane); i !== undefined; i = tasks.take(lane)) await run(i, lane);
    } catch (err) {
      tasks.clear();
      throw err;
    }
  };
  const working = Array.from({ length: lanes * TASKS_PER_LANE }, async (_, at) => await work(at % lanes));
  await Promise.allSettled(working);
  await Promise.all(working);
}
