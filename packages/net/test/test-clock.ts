import type { Clock, Random } from "@ckmesh/core";

/** The machine's own time, for tests with real sockets. */
export const realClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

export const realRandom: Random = { next: () => Math.random() };
