import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "@ckmesh/core";
import { describe, expect, it, onTestFinished } from "vitest";
import { loadControl, saveControl } from "../../src/index.js";

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "ckmesh-control-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe("the stored control record", () => {
  it("comes back as it was saved, with and without a record", async () => {
    const folder = temporaryFolder();
    expect(await loadControl(folder, silentLogger)).toEqual({ held: [] });
    const stored = { bytes: Buffer.from("record"), etag: '"1"', held: [3, 4] };
    await saveControl(folder, stored);
    expect(await loadControl(folder, silentLogger)).toEqual(stored);
    await saveControl(folder, { held: [3] });
    expect(await loadControl(folder, silentLogger)).toEqual({ held: [3] });
  });

  it.each([
    ["no JSON", "{"],
    ["another format", '{"format":2,"held":[]}'],
    ["no list", '{"format":1,"held":3}'],
  ])("that is damaged (%s) is put aside and counts as none", async (_, text) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "control.json"), text);
    expect(await loadControl(folder, silentLogger)).toEqual({ held: [] });
    expect(existsSync(join(folder, "control.json.damaged"))).toBe(true);
  });
});
