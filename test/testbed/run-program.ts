import { spawn } from "node:child_process";

/** What a foreign program wrote. */
export interface ProgramResult {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ProgramOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  /** On top of this process's variables. */
  readonly env?: Readonly<Record<string, string>>;
}

const TIMEOUT_MS = 30_000;
/** Servers lie in sbin, which a user's path may lack. */
export const PROGRAM_PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

/** Runs a program to its end, whatever that is; rejects only when it cannot be started. */
export function runProgram(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: "pipe",
      timeout: options.timeoutMs ?? TIMEOUT_MS,
      killSignal: "SIGKILL",
      env: { ...process.env, PATH: PROGRAM_PATH, ...options.env },
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    // A program that does not read what it is given is no failure.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input ?? "");
    child.once("error", reject);
    child.once("close", (exitCode) => resolve({ exitCode, stdout, stderr }));
  });
}

/** The same; rejects with what it wrote to standard error when it fails. Returns its standard output. */
export async function mustRun(
  file: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const { exitCode, stdout, stderr } = await runProgram(file, args, options);
  if (exitCode === 0) return stdout;
  const why = stderr.trim() || stdout.trim() || "it wrote nothing";
  throw new Error(`${file} ${args[0] ?? ""} ended with ${exitCode ?? "a signal"}: ${why}`);
}
