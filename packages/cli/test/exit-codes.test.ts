import { readFileSync } from "node:fs";
import { AppError, ERROR_CODES } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { adviceFor } from "../src/advice.js";
import { EXIT, exitCodeOf } from "../src/exit-codes.js";
import { toAppError } from "../src/failure.js";

const DOCS = readFileSync(new URL("../../../docs/cli.md", import.meta.url), "utf8");

describe("exit codes", () => {
  it("are those of docs/cli.md", () => {
    const documented = [...DOCS.matchAll(/^\| (\d+) \| /gm)].map((m) => Number(m[1]));
    expect(documented).toEqual(Object.values(EXIT).toSorted((a, b) => a - b));
  });

  it("are documented with every error code that leads to them", () => {
    for (const code of ERROR_CODES) {
      const exit = exitCodeOf(code);
      if (exit === EXIT.failed) continue;
      const row = DOCS.split("\n").find((line) => line.startsWith(`| ${exit} |`));
      expect(row, `${code} → ${exit}`).toContain(`\`${code}\``);
    }
  });

  it("are never 0 for an error", () => {
    expect(ERROR_CODES.filter((code) => exitCodeOf(code) === EXIT.done)).toEqual([]);
  });
});

describe("advice", () => {
  it("is there for every error that a person can do something about", () => {
    const selfHealing = new Set<string>([
      "ERR_METHOD_NOT_ALLOWED",
      "ERR_PRECONDITION_FAILED",
      "ERR_RANGE_UNSATISFIABLE",
      "ERR_REQUEST_INVALID",
      "ERR_BITS_PACKET_INVALID",
      "ERR_BITS_RANGE_GAP",
      "ERR_BITS_SESSION_NOT_FOUND",
      "ERR_SHUTTING_DOWN",
      "ERR_WIRE_MESSAGE_INVALID",
      "ERR_PEER_REFUSED",
      "ERR_ABORTED",
    ]);
    const silent = ERROR_CODES.filter((code) => adviceFor(code) === undefined);
    expect(silent.filter((code) => !selfHealing.has(code))).toEqual([]);
  });
});

describe("toAppError", () => {
  it.each([
    ["ENOENT", "ERR_FILE_NOT_FOUND"],
    ["EACCES", "ERR_FILE_DENIED"],
    ["ENOSPC", "ERR_STORE_FULL"],
    ["EADDRINUSE", "ERR_ADDRESS_IN_USE"],
    ["EEXIST", "ERR_USAGE"],
    ["EWHATEVER", "ERR_INTERNAL"],
  ])("calls the system's %s %s", (system, code) => {
    expect(toAppError(Object.assign(new Error("x"), { code: system })).code).toBe(code);
  });

  it("keeps an AppError as it is and wraps anything else", () => {
    const err = new AppError("ERR_TIMEOUT", "late");
    expect(toAppError(err)).toBe(err);
    expect(toAppError("boom")).toMatchObject({ code: "ERR_INTERNAL", message: "boom" });
    expect(toAppError(new DOMException("stop", "AbortError")).code).toBe("ERR_ABORTED");
  });
});
