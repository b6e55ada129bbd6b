import { isAppError } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { describe, expect, it } from "vitest";
import { TokenBucket, wait } from "../src/token-bucket.js";

/** Lets settled promises run their continuations. */
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe("token bucket", () => {
  it("lets the burst pass at once and holds the mean rate after it", async () => {
    const clock = new VirtualClock();
    const bucket = new TokenBucket(1_000_000, clock);
    expect(bucket.take(250_000)).toBeUndefined();
    let passed = 0;
    const taker = async (): Promise<void> => {
      for (let i = 0; i < 100; i++) {
        await bucket.take(100_000);
        passed += 100_000;
      }
    };
    const run = taker();
    for (let second = 0; second < 5; second++) {
      for (let tenth = 0; tenth < 10; tenth++) {
        clock.advance(100);
        await turn();
      }
    }
    expect(passed).toBeGreaterThanOrEqual(4_900_000);
    expect(passed).toBeLessThanOrEqual(5_000_000);
    for (let tenth = 0; tenth < 60; tenth++) {
      clock.advance(100);
      await turn();
    }
    await run;
  });

  it("stops waiting when told", async () => {
    const clock = new VirtualClock();
    const abort = new AbortController();
    const waiting = wait(clock, 1000, abort.signal).catch((err: unknown) => err);
    abort.abort();
    expect(isAppError(await waiting, "ERR_ABORTED")).toBe(true);
    await expect(wait(clock, 1000, abort.signal)).rejects.toThrow("stopped");
  });
});
