// npm test: installs, then format, lint, types, layers, unused code and all tests; ends with "N passed, N failed, N skipped".
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PNPM = ["-y", "pnpm@10.34.9"];
const run = (command, args, env = {}) =>
  spawnSync(command, args, { stdio: "inherit", env: { ...process.env, ...env } }).status ?? 1;
const pnpm = (...args) => run("npx", [...PNPM, ...args]);

function fail(step, status) {
  console.log(`\n${step} failed with exit code ${status}`);
  console.log("0 passed, 1 failed, 0 skipped");
  process.exit(status || 1);
}

let status = pnpm("install", "--frozen-lockfile");
if (status !== 0) fail("install", status);
if (process.env.CI === "true" && process.getuid?.() === 0) {
  status = run("bash", ["scripts/install-test-packages"]);
  if (status !== 0) fail("install-test-packages", status);
}
// Without them the tests that need them say so and are skipped.
if (process.env.CI === "true") {
  run("bash", ["scripts/install-node-majors"]);
  run("bash", ["scripts/make-test-corpus"]);
}
for (const step of ["format:check", "lint", "build", "layers", "knip"]) {
  status = pnpm("run", step);
  if (status !== 0) fail(step, status);
}
const scratch = mkdtempSync(join(tmpdir(), "ckmesh-test-"));
const report = join(scratch, "report.json");
status = run("npx", [
  ...PNPM,
  "exec",
  "vitest",
  "run",
  "--reporter=default",
  "--reporter=json",
  `--outputFile.json=${report}`,
]);
let counts;
try {
  counts = JSON.parse(readFileSync(report, "utf8"));
} catch {
  fail("vitest", status);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
// A test file that cannot be loaded, or an unhandled error, fails no single test but fails the run.
const failed = Math.max(counts.numFailedTests, status === 0 ? 0 : 1);
const skipped = counts.numPendingTests + counts.numTodoTests;
console.log(`\n${counts.numPassedTests} passed, ${failed} failed, ${skipped} skipped`);
process.exit(status);
