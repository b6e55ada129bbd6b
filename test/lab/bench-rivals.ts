import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Fields } from "@ckmesh/core";
import { type BenchCase, CHANGED_SHARE, LAN_MBIT, RIVALS, type Rival } from "./bench-cases.js";
import type { Measured } from "./bench-run.js";

const SCRIPT = fileURLToPath(new URL("swarm_bench.py", import.meta.url));
const MAX = Number.MAX_SAFE_INTEGER;
const MIB = 1024 * 1024;
/** Rivals carry up to one copy for each client, one after another, and stall now and then. */
const LIMIT_SECONDS = 120;

/** The line with which a rival says its version; undefined when it is not installed. */
export function rivalVersion(rival: Rival): string | undefined {
  const [command, ...args] = RIVALS[rival];
  const run = spawnSync(command, args, { encoding: "utf8" });
  if (run.status !== 0) return undefined;
  return `${run.stdout}${run.stderr}`.trim().split(/\n| \(/)[0];
}

/** Runs one case with a rival. */
export async function measureRival(
  rival: Rival,
  of: BenchCase,
  setting: { readonly mib: number; readonly delayMs: number },
  signal: AbortSignal,
): Promise<Measured> {
  const bound = (setting.mib * MIB * 8) / (of.wanMbit * 1e6);
  const first = of.kind === "late" ? of.clients - 1 : of.clients;
  const limit = Math.ceil(bound * 1.1 * (of.clients + 1) + LIMIT_SECONDS);
  const numbers = { n: first, mib: setting.mib, wan: of.wanMbit, lan: LAN_MBIT, "delay-ms": setting.delayMs };
  const args = Object.entries(numbers).flatMap(([flag, n]) => [flag === "n" ? "-n" : `--${flag}`, String(n)]);
  args.push("--limit", String(limit), "--late", of.kind === "late" ? String(limit) : "0");
  args.push("--prefix", `rv${process.pid.toString(36)}`);
  if (of.kind === "update") args.push("--update");
  if (of.hasTracker === false) args.push("--no-tracker");
  if (of.fault !== undefined) args.push("--fault", of.fault);
  const line = await runScript([rival === "curl" ? "http" : rival, ...args], signal);
  return of.kind === "late" ? lateOf(line) : coldOf(line, of);
}

function coldOf(line: Fields, of: BenchCase): Measured {
  const size = line.int("size", 1, MAX);
  const siteBytes = of.kind === "update" ? Math.round(size * CHANGED_SHARE) : size;
  const times = line.list("times", 1000).map(Number);
  const down = line.int("wan_down", 0, MAX);
  return {
    ...common(line),
    wanDownBytes: down,
    wanUpBytes: line.int("wan_up", 0, MAX),
    siteBytes,
    copies: down / siteBytes,
    boundSeconds: (siteBytes * 8) / (of.wanMbit * 1e6),
    seconds: times.at(-1) ?? Number.NaN,
    completed: times.length,
    expected: of.clients - (of.fault === "killfetcher" ? 1 : 0),
    times,
  };
}

function lateOf(line: Fields): Measured {
  const size = line.int("size", 1, MAX);
  if (!line.has("late_wan_down"))
    throw new Error(`only ${line.int("done", 0, 1000)} of the first clients completed`);
  const times = line.has("late_s") ? [line.number("late_s", 0, MAX)] : [];
  const down = line.int("late_wan_down", 0, MAX);
  return {
    ...common(line),
    wanDownBytes: down,
    wanUpBytes: line.int("late_wan_up", 0, MAX),
    siteBytes: size,
    copies: down / size,
    boundSeconds: (size * 8) / (LAN_MBIT * 1e6),
    seconds: times[0] ?? Number.NaN,
    completed: times.length,
    expected: 1,
    times,
  };
}

function common(line: Fields): Pick<Measured, "cpuPercent" | "clientsCpuSeconds" | "rssPeakMib"> {
  return {
    cpuPercent: line.number("cpu_pct", 0, 100),
    clientsCpuSeconds: line.number("clients_cpu_s", 0, MAX),
    rssPeakMib: line.number("rss_peak_mib", 0, MAX),
  };
}

/** The script takes its lab down itself, also when it is ended early. */
async function runScript(args: readonly string[], signal: AbortSignal): Promise<Fields> {
  const child = spawn("python3", [SCRIPT, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const stop = (): void => {
    child.kill("SIGTERM");
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    await once(child, "close");
    signal.throwIfAborted();
    if (child.exitCode !== 0) throw new Error(`${args.join(" ")}: ${stderr.trim().split("\n").at(-1)}`);
    return new Fields(JSON.parse(stdout), "swarm_bench");
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
