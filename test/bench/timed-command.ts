import { spawnSync } from "node:child_process";

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface CommandRun {
  readonly stdout: string;
  /** User and system time of the process and its children, s: it hardly depends on what else the machine does. */
  readonly cpuSec: number;
}

/** Runs a command to its end; bash tells the CPU time of its children. */
export function timedCommand(command: string, args: readonly string[]): CommandRun {
  const script = 'TIMEFORMAT="CPU %U %S"; time "$@"';
  const { status, stdout, stderr } = spawnSync("bash", ["-c", script, "bash", command, ...args], {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
    maxBuffer: MAX_OUTPUT_BYTES,
  });
  const times = /CPU ([\d.]+) ([\d.]+)\s*$/.exec(stderr);
  if (status !== 0 || times === null) throw new Error(`${command} ${args.join(" ")} failed: ${stderr}`);
  return { stdout, cpuSec: Number(times[1]) + Number(times[2]) };
}

export function isInstalled(command: string): boolean {
  return spawnSync("bash", ["-c", 'command -v "$0"', command], { stdio: "ignore" }).status === 0;
}
