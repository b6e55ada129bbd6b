import { spawnSync } from "node:child_process";

/**
 * Whether a program that a test compares with is here. When it is not, standard error says which test is
 * skipped and what installs the program.
 * @param args make it end at once with 0, such as `--version`
 * @param what the test, as in "skipped: …"
 */
export function hasTool(tool: string, args: readonly string[], what: string): boolean {
  if (spawnSync(tool, args, { stdio: "ignore" }).status === 0) return true;
  process.stderr.write(
    `skipped: ${what}; ${tool} is missing, it comes with: sudo bash scripts/install-test-packages\n`,
  );
  return false;
}
