import { describe, expect, it } from "vitest";
import { orderOf } from "../../src/image/activation-order.js";

const SECOND = { version: 2, isStopped: false };

describe("a version that is to become active", () => {
  it("begins where no other one is on its way, or that one was told to stop", () => {
    expect(orderOf(undefined, { version: 2, isAsked: false })).toBe("begin");
    expect(orderOf({ ...SECOND, isStopped: true }, { version: 2, isAsked: false })).toBe("begin");
    expect(orderOf({ ...SECOND, isStopped: true }, { version: 3, isAsked: false })).toBe("begin");
  });

  it("waits for another one, newer or older, unless somebody asks for it", () => {
    for (const version of [1, 3]) {
      expect(orderOf(SECOND, { version, isAsked: false })).toBe("wait");
      expect(orderOf(SECOND, { version, isAsked: true })).toBe("begin");
    }
  });

  it("is not begun twice", () => {
    expect(orderOf(SECOND, { version: 2, isAsked: false })).toBe("join");
    expect(orderOf(SECOND, { version: 2, isAsked: true })).toBe("join");
  });
});
