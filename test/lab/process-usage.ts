import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** What a process took so far. */
export interface ProcessUsage {
  /** User and system time of all its threads. */
  readonly cpuSeconds: number;
  /** Peak of resident memory. */
  readonly rssPeakMib: number;
}

let ticks: number | undefined;

/** Undefined when the process has ended. */
export function processUsage(pid: number | undefined): ProcessUsage | undefined {
  if (pid === undefined) return undefined;
  try {
    // proc(5): after the name in brackets, utime and stime are the 12th and 13th field.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    if (peak === undefined) return undefined;
    ticks ??= Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
    return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticks, rssPeakMib: Number(peak) / 1024 };
  } catch (err) {
    if (err instanceof Error && "code" in err && (err.code === "ENOENT" || err.code === "ESRCH"))
      return undefined;
    throw err;
  }
}

/** Resident memory of a process now, MiB. */
export function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  if (kib === undefined) throw new Error(`process ${pid} has no memory`);
  return Number(kib) / 1024;
}

/** CPU time of the whole machine, in ticks. */
export interface MachineCpu {
  readonly busy: number;
  readonly all: number;
}

export function machineCpu(): MachineCpu {
  // proc(5): user nice system idle iowait irq softirq steal
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const fields = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const all = fields.reduce((sum, n) => sum + n, 0);
  return { busy: all - (fields[3] ?? 0) - (fields[4] ?? 0), all };
}

/** Share of all cores that was in use since an earlier look, percent; other programs' work included. */
export function cpuPercentSince(before: MachineCpu): number {
  const now = machineCpu();
  return (100 * (now.busy - before.busy)) / Math.max(1, now.all - before.all);
}
