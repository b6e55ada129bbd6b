import { beforeEach, describe, expect, it } from "vitest";
import { FETCH_BACKOFF_MS, MAX_PAUSE_MS, PAUSE_JITTER_MS } from "../../src/constants.js";
import { OriginWait } from "../../src/wan/origin-wait.js";

/** Half of every spread: a back-off is exactly its base then. */
const HALF = { next: () => 0.5 };
let wait: OriginWait;

beforeEach(() => {
  wait = new OriginWait(HALF);
});

describe("OriginWait", () => {
  it("waits for as long as it is told, and a little, so that not all come back at once", () => {
    wait.told(30_000, 1000);
    expect(wait.until).toBe(31_000 + PAUSE_JITTER_MS / 2);
  });

  it("is believed for a minute from the first time that it was told, until bytes come", () => {
    expect(wait.told(30_000, 1000)).toBe(1000 + MAX_PAUSE_MS);
    expect(wait.told(30_000, 40_000)).toBe(1000 + MAX_PAUSE_MS);
    wait.moved();
    expect(wait.told(30_000, 90_000)).toBe(90_000 + MAX_PAUSE_MS);
  });

  it("does not come back sooner because it is told less later", () => {
    wait.told(60_000, 0);
    const { until } = wait;
    wait.told(2000, 100);
    expect(wait.until).toBe(until);
  });

  it("waits twice as long after each failure in a row, and after each word to come back at once", () => {
    wait.failed(0);
    expect(wait.until).toBe(FETCH_BACKOFF_MS);
    wait.failed(10_000);
    expect(wait.until).toBe(10_000 + 2 * FETCH_BACKOFF_MS);
    wait.told(0, 20_000);
    expect(wait.until).toBe(20_000 + 4 * FETCH_BACKOFF_MS + PAUSE_JITTER_MS / 2);
    wait.moved();
    wait.failed(30_000);
    expect(wait.until).toBe(30_000 + FETCH_BACKOFF_MS);
  });
});
