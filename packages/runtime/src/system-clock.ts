import type { Clock } from "@ckmesh/core";

/** Longest delay that Node's timers take (2^31 - 1 ms, 24.8 days); longer ones are waited for in steps. */
const MAX_TIMER_MS = 2_147_483_647;

/** The machine's clocks. A timer keeps the process alive until it fires or is cancelled. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    let timer: NodeJS.Timeout;
    const wait = (left: number): void => {
      const step = Math.min(Math.max(0, left), MAX_TIMER_MS);
      timer = setTimeout(() => (left > step ? wait(left - step) : run()), step);
    };
    wait(ms);
    return () => clearTimeout(timer);
  },
};
