import { describe, expect, it } from "vitest";
import { AppError, describeError, isAppError, statusOf } from "../src/index.js";

describe("AppError", () => {
  it("carries code, details and cause", () => {
    const cause = new Error("disk on fire");
    const err = new AppError("ERR_STORE_FULL", "no space", { cause, details: { free: 0 } });
    expect(err).toMatchObject({ code: "ERR_STORE_FULL", details: { free: 0 }, cause });
    expect(statusOf(err.code)).toBe(507);
  });

  it("is recognised by shape, so that a second copy of the package still matches", () => {
    const foreign = Object.assign(new Error("x"), { code: "ERR_TIMEOUT" });
    expect(isAppError(foreign)).toBe(true);
    expect(isAppError(foreign, "ERR_TIMEOUT")).toBe(true);
    expect(isAppError(foreign, "ERR_ABORTED")).toBe(false);
  });

  it("is not mistaken for an error of the system", () => {
    expect(isAppError(Object.assign(new Error("x"), { code: "ENOENT" }))).toBe(false);
    expect(isAppError(Object.assign(new Error("x"), { code: "toString" }))).toBe(false);
    expect(isAppError({ code: "ERR_TIMEOUT" })).toBe(false);
    expect(isAppError(undefined)).toBe(false);
  });
});

describe("describeError", () => {
  it("tells the whole chain of causes", () => {
    const inner = new Error("refused");
    expect(describeError(new AppError("ERR_TIMEOUT", "no answer", { cause: inner }))).toBe(
      "no answer: refused",
    );
  });

  it("tells what was thrown when it is no error", () => {
    expect(describeError("boom")).toBe("boom");
    expect(describeError(undefined)).toBe("undefined");
  });
});
