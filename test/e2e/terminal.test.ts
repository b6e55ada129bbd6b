import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MIB } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { useTempFolder } from "./temp-folder.js";

const tempFolder = useTempFolder();
const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));

// A terminal is made by script(1) of util-linux: Node has none to give.
const canMakeTerminal = spawnSync("script", ["-qec", "true", "/dev/null"]).status === 0;
if (!canMakeTerminal)
  process.stderr.write("skipped: progress on a terminal (no script(1) here: apt-get install bsdutils)\n");

describe.skipIf(!canMakeTerminal)("on a terminal", () => {
  it("packing shows a bar with bytes and leaves only the result on the screen", () => {
    const folder = tempFolder();
    writeFileSync(join(folder, "disk"), randomFillSync(new Uint8Array(24 * MIB)));
    const command = `'${process.execPath}' '${MAIN}' pack disk --name A --out .`;
    const run = spawnSync("script", ["-qec", command, "/dev/null"], { cwd: folder, encoding: "utf8" });
    expect([run.status, run.stdout]).toEqual([
      0,
      expect.stringMatching(/packing \[.+\] \d+ % {2}.* of 25\.2 MB/),
    ]);
    // After the bar: cursor shown again, then plain text to the end.
    const rest = run.stdout.slice(run.stdout.lastIndexOf("\u001b"));
    expect(rest).toContain("A version 1 packed in");
    expect(run.stdout.lastIndexOf("\u001b[?25h")).toBeGreaterThan(run.stdout.lastIndexOf("\u001b[?25l"));
  });
});
