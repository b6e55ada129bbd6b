import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { jsonLines, runCkmesh } from "./run-ckmesh.js";
import { useTempFolder } from "./temp-folder.js";

const tempFolder = useTempFolder();

describe.skipIf(process.platform === "win32")("SIGHUP", () => {
  it("makes the origin take its configuration again, and keep the old one when the new one is wrong", async () => {
    const folder = tempFolder();
    mkdirSync(join(folder, "images"));
    const file = join(folder, "origin.yaml");
    const write = (text: string): void =>
      writeFileSync(file, `listen: "127.0.0.1:0"\nvirtualDirectory: {physicalPath: ./images}\n${text}`);
    write("");
    const steps = [
      { seen: '"event":"ready"', next: "rights: {read: [alice]}\nlogFile: {enabled: false}\n" },
      { seen: '"event":"reloaded"', next: "rights: {reed: [alice]}\n" },
      { seen: '"event":"reload_failed"', next: undefined },
    ];
    const run = await runCkmesh(["origin", "--config", file, "--json"], {
      onStdout: (text, kill) => {
        const step = steps[0];
        if (step === undefined || !text.includes(step.seen)) return;
        steps.shift();
        if (step.next === undefined) {
          kill("SIGTERM");
          return;
        }
        write(step.next);
        kill("SIGHUP");
      },
    });
    expect(run.exitCode).toBe(0);
    expect(jsonLines(run).slice(1)).toMatchObject([
      { event: "reloaded", changed: ["rights.read"], restart: ["logFile.enabled"] },
      { event: "reload_failed", reason: expect.stringContaining("did you mean rights.read?") },
      { type: "summary" },
    ]);
    expect(run.stderr).toContain("these settings count after a restart only");
  });
});
