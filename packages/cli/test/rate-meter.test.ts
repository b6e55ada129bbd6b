import { describe, expect, it } from "vitest";
import { RateMeter } from "../src/rate-meter.js";

describe("RateMeter", () => {
  it("knows no rate and no end before something moved", () => {
    const meter = new RateMeter();
    expect(meter.bytesPerSec).toBe(0);
    meter.add(0, 0);
    expect(meter.bytesPerSec).toBe(0);
    expect(meter.etaSeconds(100)).toBeUndefined();
  });

  it("follows a change within its window of 10 s", () => {
    const meter = new RateMeter();
    let bytes = 0;
    for (let second = 0; second <= 20; second += 1) meter.add((bytes += 100), second * 1000);
    for (let second = 21; second <= 40; second += 1) meter.add((bytes += 10), second * 1000);
    expect(meter.bytesPerSec).toBe(10);
    expect(meter.etaSeconds(bytes + 50)).toBe(5);
  });

  it("starts afresh when there is less than before", () => {
    const meter = new RateMeter();
    meter.add(1000, 0);
    meter.add(0, 1000);
    meter.add(50, 2000);
    expect(meter.bytesPerSec).toBe(50);
  });

  it("does not keep samples without end", () => {
    const meter = new RateMeter();
    for (let i = 0; i < 100_000; i += 1) meter.add(i, i);
    expect(meter.bytesPerSec).toBeCloseTo(1000, 5);
  });
});
