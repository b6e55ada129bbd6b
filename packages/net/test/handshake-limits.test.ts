import { describe, expect, it } from "vitest";
import { HandshakeLimits, MAX_HALF_OPEN, MAX_HALF_OPEN_PER_SOURCE } from "../src/handshake-limits.js";

describe("HandshakeLimits", () => {
  it("admits 10 connections a second from one address, and others beside", () => {
    const limits = new HandshakeLimits();
    const verdicts = Array.from({ length: 12 }, () => limits.refuse("10.0.0.1", 0));
    expect(verdicts.filter((v) => v === undefined).length).toBe(10);
    expect(limits.refuse("10.0.0.2", 0)).toBeUndefined();
    expect(limits.refuse("10.0.0.1", 100)).toBeUndefined();
    expect(limits.refuse("10.0.0.1", 100)).toBeDefined();
  });

  it("admits 50 half-open ones, and the next when one settles", () => {
    const limits = new HandshakeLimits();
    for (let i = 0; i < MAX_HALF_OPEN; i += 1) limits.opened(`10.0.1.${i}`);
    expect(limits.isFull).toBe(true);
    expect(limits.refuse("10.0.0.1", 0)).toBeDefined();
    limits.settled("10.0.1.7");
    expect(limits.refuse("10.0.0.1", 0)).toBeUndefined();
  });

  it("admits 10 half-open ones of one address, however slowly they come", () => {
    const limits = new HandshakeLimits();
    for (let i = 0; i < MAX_HALF_OPEN_PER_SOURCE; i += 1) {
      expect(limits.refuse("10.0.0.1", i * 1000)).toBeUndefined();
      limits.opened("10.0.0.1");
    }
    expect(limits.refuse("10.0.0.1", 60_000)).toBeDefined();
    expect(limits.refuse("10.0.0.2", 60_000)).toBeUndefined();
    limits.settled("10.0.0.1");
    expect(limits.refuse("10.0.0.1", 60_000)).toBeUndefined();
  });

  it("remembers at most 4,096 addresses and forgets old ones", () => {
    const limits = new HandshakeLimits();
    const refused = (now: number, from: number): number =>
      Array.from({ length: 5000 }, (_, i) => limits.refuse(`a${from + i}`, now)).filter(
        (v) => v !== undefined,
      ).length;
    expect(refused(0, 0)).toBe(5000 - 4096);
    expect(refused(20_000, 10_000)).toBe(5000 - 4096);
  });
});
