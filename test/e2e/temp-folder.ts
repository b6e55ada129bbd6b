import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach } from "vitest";

/** A folder of its own for each test, removed after it. Call at the top of a test file. */
export function useTempFolder(): () => string {
  const made: string[] = [];
  afterEach(() => {
    for (const folder of made.splice(0)) rmSync(folder, { recursive: true, force: true });
  });
  return () => {
    // One level down: an origin without --state keeps its state beside its root.
    const outer = mkdtempSync(join(tmpdir(), "ckmesh-e2e-"));
    made.push(outer);
    const folder = join(outer, "t");
    mkdirSync(folder);
    return folder;
  };
}
