/**
 * Starts `count` tasks, at most `inFlight` at a time, and hands their results to `consume` in order. Stops at
 * the first failure and waits for what still runs.
 */
export async function runOrdered<R>(
  count: number,
  inFlight: number,
  start: (i: number) => Promise<R>,
  consume: (result: R, i: number) => void | Promise<void>,
): Promise<void> {
  const running: Promise<R>[] = [];
  let next = 0;
  try {
    for (let i = 0; i < count; i += 1) {
      for (; next < count && running.length < inFlight; next += 1) {
        const task = start(next);
        task.catch(() => {}); // seen when its turn comes, or below
        running.push(task);
      }
      const result = await running.shift();
      if (result !== undefined) await consume(result, i);
    }
  } finally {
    await Promise.allSettled(running);
  }
}
