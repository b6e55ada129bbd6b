import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runProgram } from "./run-program.js";

export interface CurlAnswer {
  /** Of the last answer of the last URL; 0 when there was none. */
  readonly status: number;
  /** The same of each URL. */
  readonly statuses: readonly number[];
  /** Connections that were opened. */
  readonly connects: number;
  /** Headers of all answers, in order, as they came. */
  readonly headers: string;
  readonly bytes: number;
  /** curl's own exit code: 0, 35 for TLS, 56 for a connection that broke … */
  readonly exitCode: number | null;
}

/** Runs curl with what decides the logon; the body is counted and thrown away. */
export async function curl(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CurlAnswer> {
  const folder = mkdtempSync(join(tmpdir(), "ckcurl-"));
  try {
    const report = "%{http_code} %{num_connects} %{size_download}\\n";
    const fixed = ["--silent", "--max-time", "20", "--noproxy", "*", "--output", join(folder, "body")];
    const run = await runProgram(
      "curl",
      [...fixed, "--dump-header", join(folder, "headers"), "--write-out", report, ...args],
      {
        // No ticket of the machine's own and no NTLM credentials of its own.
        env: { HOME: folder, KRB5CCNAME: "FILE:/nonexistent", NTLM_USER_FILE: "/nonexistent", ...env },
      },
    );
    const headers = existsSync(join(folder, "headers"))
      ? readFileSync(join(folder, "headers"), "latin1")
      : "";
    const transfers = run.stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" ").map(Number));
    const statuses = transfers.map(([status = 0]) => status);
    const sum = (column: number): number => transfers.reduce((all, line) => all + (line[column] ?? 0), 0);
    return {
      status: statuses.at(-1) ?? 0,
      statuses,
      connects: sum(1),
      bytes: sum(2),
      headers,
      exitCode: run.exitCode,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
