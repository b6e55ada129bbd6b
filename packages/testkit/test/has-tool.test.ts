import { afterEach, expect, it, vi } from "vitest";
import { hasTool } from "../src/index.js";

afterEach(() => {
  vi.restoreAllMocks();
});

it("finds a program that is here and says nothing", () => {
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(hasTool(process.execPath, ["--version"], "a test")).toBe(true);
  expect(said).not.toHaveBeenCalled();
});

it("says what is skipped without a program, and the line that installs it", () => {
  const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
  expect(hasTool("no-such-program", ["--version"], "a test")).toBe(false);
  expect(said).toHaveBeenCalledWith(
    "skipped: a test; no-such-program is missing, it comes with: sudo bash scripts/install-test-packages\n",
  );
});
