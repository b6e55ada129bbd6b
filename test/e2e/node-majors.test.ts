import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

// How a connection is taken from Node's HTTP server is not documented (packages/origin/src/bits/native-parser.ts).
const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NODES = `${ROOT}node_modules/.cache/node-majors/`;
const TESTS = [
  "packages/origin/test/bits/bits-wire.test.ts",
  "packages/origin/test/bits/bits-closing.test.ts",
];
const LIMIT_MS = 150_000;

const run = promisify(execFile);
const versions = existsSync(NODES) ? readdirSync(NODES).filter((name) => /^\d+\.\d+\.\d+$/.test(name)) : [];
if (versions.length === 0) {
  process.stderr.write(
    "skipped: uploads on newer versions of Node; they come with: scripts/install-node-majors\n",
  );
}

it.skipIf(versions.length === 0).each(versions.length === 0 ? ["any newer version"] : versions)(
  "receives BITS_POST on Node %s",
  async (version) => {
    const node = `${NODES}${version}/bin/node`;
    expect((await run(node, ["--version"])).stdout).toBe(`v${version}\n`);
    const vitest = ["node_modules/vitest/vitest.mjs", "run", "--reporter=json", ...TESTS];
    const { stdout } = await run(node, vitest, { cwd: ROOT, timeout: LIMIT_MS, maxBuffer: 16 * 1024 * 1024 });
    const report: unknown = JSON.parse(stdout.slice(stdout.indexOf("{")));
    expect(report).toMatchObject({ success: true, numFailedTests: 0, numPendingTests: 0 });
  },
);
