/**
 * Measures a branch office in the lab (network namespaces, root): what crosses the WAN and how long the slowest
 * client takes, ours and rivals (scripts/install-test-packages --bench) in turns. Every run goes to a JSON file
 * at once; a bench that was stopped goes on there. The tables go to standard output, progress to standard error.
 * docs/benchmarks.md says how to read them.
 *
 *   node --import tsx scripts/lab-bench.ts --quick | --full [--write docs/benchmarks.md]
 *   node --import tsx scripts/lab-bench.ts [--cases cold10,late] [--runs 3] [--mib 64] [--delays 0,15]
 *       [--rivals transmission,aria2c] [--out FILE] [--fresh] [--report] [--write PAGE]
 */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { type BenchCase, CASES, RIVALS, type Rival } from "../test/lab/bench-cases.js";
import { measureOurs } from "../test/lab/bench-ours.js";
import { OURS, report, writeReport } from "../test/lab/bench-report.js";
import { measureRival, rivalVersion } from "../test/lab/bench-rivals.js";
import { type BenchEnvironment, BenchFile, type BenchKey, type Measured } from "../test/lab/bench-run.js";
import { labAvailable } from "../test/lab/lab.js";

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    full: { type: "boolean", default: false },
    cases: { type: "string" },
    runs: { type: "string" },
    mib: { type: "string" },
    delays: { type: "string" },
    rivals: { type: "string" },
    out: { type: "string", default: "lab-bench.json" },
    fresh: { type: "boolean", default: false },
    report: { type: "boolean", default: false },
    write: { type: "string" },
  },
});

/** A part of the bench: which cases, how often, of what size. */
interface Plan {
  readonly cases: readonly string[];
  readonly runs: number;
  /** Absent: the size of each case's bar. */
  readonly mib?: number;
  readonly delaysMs: readonly number[];
  readonly rivals: readonly Rival[];
}

interface Step {
  readonly key: BenchKey;
  readonly of: BenchCase;
  readonly rival: Rival | undefined;
  readonly round: number;
}

const ALL_CASES = CASES.map((c) => c.name);
const ALL_RIVALS = Object.keys(RIVALS) as Rival[];

/** About 18 minutes: the bars that matter most at their size, and all systems at a small one. */
const QUICK: readonly Plan[] = [
  { cases: ["cold10", "late"], runs: 1, delaysMs: [0], rivals: [] },
  { cases: ALL_CASES, runs: 1, mib: 32, delaysMs: [0], rivals: [] },
  { cases: ["cold10", "late"], runs: 1, mib: 32, delaysMs: [0, 15], rivals: ALL_RIVALS },
];
/** Every case at the size of its bar; then every system, at a size that rivals finish in bearable time. About 200 minutes. */
const FULL: readonly Plan[] = [
  { cases: ALL_CASES, runs: 3, delaysMs: [0, 15], rivals: [] },
  { cases: ALL_CASES, runs: 3, mib: 64, delaysMs: [0], rivals: ALL_RIVALS },
  { cases: ["cold10", "late", "update"], runs: 3, mib: 64, delaysMs: [15], rivals: ALL_RIVALS },
];

function plans(): readonly Plan[] {
  if (values.quick) return QUICK;
  if (values.full) return FULL;
  return [
    {
      cases: list(values.cases, ALL_CASES) ?? ALL_CASES,
      runs: Number(values.runs ?? 3),
      ...(values.mib !== undefined && { mib: Number(values.mib) }),
      delaysMs: (values.delays ?? "0").split(",").map(Number),
      rivals: list(values.rivals, ALL_RIVALS) ?? [],
    },
  ];
}

function list<T extends string>(text: string | undefined, known: readonly T[]): readonly T[] | undefined {
  return text?.split(",").map((word) => {
    const found = known.find((k) => k === word);
    if (found === undefined) throw new Error(`${word} is none of ${known.join(", ")}`);
    return found;
  });
}

/** In turns: ours, a rival, the next rival, then the next round. */
function stepsOf(plan: Plan, installed: ReadonlySet<Rival>): readonly Step[] {
  const steps: Step[] = [];
  for (const of of CASES.filter((c) => plan.cases.includes(c.name))) {
    for (const delayMs of plan.delaysMs) {
      for (let round = 1; round <= plan.runs; round++) {
        // Clients of curl do not meet: one run says what all would.
        const rivals = plan.rivals.filter(
          (r) => of.rivals.includes(r) && installed.has(r) && (r !== "curl" || round === 1),
        );
        for (const rival of [undefined, ...rivals]) {
          const key = { system: rival ?? OURS, case: of.name, delayMs, mib: plan.mib ?? of.mib };
          steps.push({ key, of, rival, round });
        }
      }
    }
  }
  return steps;
}

/** Seconds that a run takes about, set-up included; measured factors of the bound, for the ETA only. */
function guessSeconds({ key, of, rival }: Step): number {
  const bound = (key.mib * 1024 * 1024 * 8) / (of.wanMbit * 1e6);
  const copies = { curl: of.clients * 1.05, transmission: 4, aria2c: 2.5, libtorrent: 4 };
  const factor = rival === undefined ? 1.2 : copies[rival];
  const again =
    of.kind === "late" && rival !== undefined ? 1.2 : of.kind === "update" && rival === undefined ? 1.2 : 0;
  const isCheap = of.kind === "update" && rival !== undefined && rival !== "curl";
  return bound * (isCheap ? 0.5 : factor + again) + 12 + (of.fault === "wancut" ? 16 : 0);
}

function environment(rivals: readonly Rival[]): BenchEnvironment {
  const found = rivals.flatMap((rival) => {
    const version = rivalVersion(rival);
    if (version === undefined)
      say(`${rival} is left out: it is not installed; scripts/install-test-packages --bench`);
    return version === undefined ? [] : [[rival, version] as const];
  });
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
    commit: execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim(),
    rivals: Object.fromEntries(found),
  };
}

async function run(file: BenchFile, steps: readonly Step[], signal: AbortSignal): Promise<void> {
  const todo = steps.filter((s) => file.count(s.key) < s.round);
  let failures = 0;
  for (const [i, step] of todo.entries()) {
    if (signal.aborted) return;
    const left = todo.slice(i).reduce((sum, s) => sum + guessSeconds(s), 0);
    const { system, case: name, mib, delayMs } = step.key;
    const what = `${system} ${name} ${mib} MiB${delayMs > 0 ? ` ${delayMs} ms` : ""}`;
    say(`[${i + 1}/${todo.length}, about ${Math.ceil(left / 60)} min left] ${what}`);
    try {
      const found = await measure(step, signal);
      file.add({ ...step.key, at: new Date().toISOString(), ...found });
      say(`    ${summaryOf(found)}`);
    } catch (err) {
      if (signal.aborted) return;
      failures += 1;
      say(`    failed: ${String(err)}`);
    }
  }
  if (failures > 0) {
    process.exitCode = 1;
    say(`${failures} runs failed; start again to repeat them`);
  }
}

async function measure({ key, of, rival }: Step, signal: AbortSignal): Promise<Measured> {
  return rival === undefined
    ? await measureOurs(of, key, signal)
    : await measureRival(rival, of, key, signal);
}

function summaryOf(found: Measured): string {
  const time = `${found.seconds.toFixed(1)} s = ${(found.seconds / found.boundSeconds).toFixed(2)} x`;
  const cpu = `CPU ${found.cpuPercent} %, clients ${found.clientsCpuSeconds.toFixed(1)} s, ${Math.round(found.rssPeakMib)} MiB`;
  return `WAN ${found.copies.toFixed(3)}, ${time}, ${found.completed} of ${found.expected}, ${cpu}`;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function main(): Promise<void> {
  if (values.fresh) rmSync(values.out, { force: true });
  const wanted = plans();
  const env = environment([...new Set(wanted.flatMap((p) => p.rivals))]);
  const file = new BenchFile(values.out, env);
  if (!values.report) {
    const reason = labAvailable();
    if (reason !== undefined) throw new Error(`no lab: ${reason}`);
    const installed = new Set(ALL_RIVALS.filter((r) => env.rivals[r] !== undefined));
    const stop = new AbortController();
    for (const name of ["SIGINT", "SIGTERM"] as const) {
      // Not once: a terminal signals the whole group, and tsx passes the signal on beside that.
      process.on(name, () => {
        if (stop.signal.aborted) return;
        say(`${name}: taking the lab down; what was measured is in ${values.out}`);
        process.exitCode = 1;
        stop.abort(new Error("stopped"));
      });
    }
    await run(
      file,
      wanted.flatMap((p) => stepsOf(p, installed)),
      stop.signal,
    );
  }
  const text = report(file);
  process.stdout.write(`${text}\n`);
  if (values.write !== undefined) writeReport(values.write, text);
}

await main();
