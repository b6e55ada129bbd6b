import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));

export interface KillableOrigin {
  readonly child: ChildProcess;
  readonly url: string;
}

/**
 * Starts `ckmesh origin` on `images` and `state` of a folder, with a quick publish gate; it is killed with the test.
 * @param settings further lines of its configuration
 */
export async function startKillableOrigin(folder: string, settings: string): Promise<KillableOrigin> {
  const config = join(folder, "origin.yaml");
  writeFileSync(
    config,
    `virtualDirectory: {physicalPath: ./images}
state: ./state
listen: 127.0.0.1:0
publish: {scanMs: 20, settleMs: 60}
${settings}
`,
  );
  const flags = ["origin", "--config", config, "--json", "--log-level", "error"];
  const child = spawn(process.execPath, [MAIN, ...flags]);
  onTestFinished(() => void child.kill("SIGKILL"));
  let text = "";
  const url = await new Promise<string>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      const found = /"urls":\["([^"]+)"/.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
  });
  return { child, url };
}
