import type { Clock, Random } from "@ckmesh/core";
import { vi } from "vitest";

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

/** Tries until it does not throw; patient, because the machine may be busy. */
export async function eventually<T>(run: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(run, { timeout: 15_000, interval: 10 });
}
