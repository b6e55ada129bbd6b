import { readFileSync, writeFileSync } from "node:fs";
import { type BenchCase, CASES } from "./bench-cases.js";
import { type BenchFile, type BenchRun, median } from "./bench-run.js";
import { MILESTONES } from "./branch-client.js";

export const OURS = "ckmesh";
/** Above this the machine was the limit, and times say little (test/lab/README.md, Capacity). */
const BUSY_PERCENT = 60;

interface Group {
  readonly of: BenchCase;
  readonly system: string;
  readonly delayMs: number;
  readonly mib: number;
  readonly runs: readonly BenchRun[];
}

/** The tables as Markdown. */
export function report(file: BenchFile): string {
  const groups = groupsOf(file.runs);
  const { cpu, cores, memoryGib, kernel, node, commit, rivals } = file.environment;
  const days = [...new Set(file.runs.map((r) => r.at.slice(0, 10)))].toSorted();
  return [
    `Measured ${days.join(", ")} on ${cores} cores (${cpu}), ${memoryGib} GiB, Linux ${kernel}, Node ${node}, commit ${commit}.`,
    Object.entries(rivals).length === 0 ? "" : `Rivals: ${Object.values(rivals).join("; ")}.`,
    "",
    "### Against the bars",
    ...barTable(groups),
    "",
    "### All systems",
    ...comparison(groups),
    "",
    "### Where the time of a ckmesh client goes",
    ...phaseTable(groups),
  ]
    .join("\n")
    .replaceAll(/\n{3,}/g, "\n\n");
}

/** Puts the tables between the markers of a page. */
export function writeReport(path: string, text: string): void {
  const page = readFileSync(path, "utf8");
  const [begin, end] = ["<!-- lab-bench: begin -->", "<!-- lab-bench: end -->"];
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${path} has no ${begin} … ${end}`);
  writeFileSync(path, `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`);
}

/** `met`, or what is missed; undefined when the case has no bar. */
function verdict(group: Group, groups: readonly Group[]): string | undefined {
  const { bar } = group.of;
  if (bar === undefined || group.system !== OURS) return undefined;
  const missed: string[] = [];
  const incomplete = group.runs.filter((r) => r.completed < r.expected).length;
  if (incomplete > 0) missed.push(`${incomplete} of ${group.runs.length} runs incomplete`);
  if (median(group.runs.map((r) => r.copies)) > bar.copies) missed.push(`WAN > ${bar.copies}`);
  if (bar.time !== undefined && median(group.runs.map(timeOf)) > bar.time) missed.push(`time > ${bar.time}`);
  if (bar.beyond !== undefined) {
    const { case: name, seconds } = bar.beyond;
    const other = groups.find(
      (g) => g.of.name === name && g.system === OURS && g.delayMs === group.delayMs && g.mib === group.mib,
    );
    if (other === undefined) missed.push(`${name} was not run`);
    else if (secondsOf(group) > secondsOf(other) + seconds) missed.push(`time > ${name} + ${seconds} s`);
  }
  return missed.length === 0 ? "met" : `**missed**: ${missed.join(", ")}`;
}

/** Runs of one key together, in the order of the cases. */
function groupsOf(runs: readonly BenchRun[]): readonly Group[] {
  const groups = new Map<string, BenchRun[]>();
  for (const run of runs) {
    const key = [run.system, run.case, run.delayMs, run.mib].join(" ");
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return CASES.flatMap((of) =>
    [...groups.values()]
      .flatMap((members) => {
        const [first] = members;
        if (first === undefined || first.case !== of.name) return [];
        return [{ of, system: first.system, delayMs: first.delayMs, mib: first.mib, runs: members }];
      })
      .toSorted((a, b) => b.mib - a.mib || a.delayMs - b.delayMs || rankOf(a) - rankOf(b)),
  );
}

function rankOf(group: Group): number {
  return group.system === OURS ? 0 : 1;
}

function barTable(groups: readonly Group[]): readonly string[] {
  const rows = groups.flatMap((group) => {
    const result = verdict(group, groups);
    const { bar } = group.of;
    if (result === undefined || bar === undefined) return [];
    const time =
      bar.time?.toFixed(2) ??
      (bar.beyond === undefined ? "–" : `${bar.beyond.case} + ${bar.beyond.seconds} s`);
    const size = group.mib === group.of.mib ? `${group.mib}` : `${group.mib} (bar: ${group.of.mib})`;
    return [
      [
        group.of.what,
        size,
        String(group.delayMs),
        `${wan(group)} (${bar.copies})`,
        `${times(group)} (${time})`,
        completedText(group),
        result,
      ],
    ];
  });
  const heads = ["case", "MiB", "delay ms", "WAN copies (bar)", "time over bound (bar)", "completed", "bar"];
  return table(heads, rows);
}

function comparison(groups: readonly Group[]): readonly string[] {
  const rows = groups.map((group) => [
    group.of.what,
    String(group.mib),
    String(group.delayMs),
    group.system,
    wan(group),
    times(group),
    secondsOf(group).toFixed(1),
    completedText(group),
    median(group.runs.map((r) => r.clientsCpuSeconds)).toFixed(1),
    cpuText(group),
    `${Math.round(Math.max(...group.runs.map((r) => r.rssPeakMib)))}`,
    String(group.runs.length),
  ]);
  const heads = [
    "case",
    "MiB",
    "delay ms",
    "system",
    "WAN copies",
    "time over bound",
    "seconds",
    "completed",
  ];
  return table([...heads, "clients' CPU s", "machine busy %", "peak MiB", "runs"], rows);
}

function phaseTable(groups: readonly Group[]): readonly string[] {
  const rows = groups.flatMap((group) => {
    const found = group.runs.flatMap((r) => r.phases ?? []);
    if (group.system !== OURS || found.length === 0) return [];
    const cells = MILESTONES.map((milestone) => {
      const spreads = found.flatMap((phases) => phases[milestone] ?? []);
      if (spreads.length === 0) return "–";
      const of = (pick: "min" | "median" | "max"): string => median(spreads.map((s) => s[pick])).toFixed(2);
      return `${of("min")} / ${of("median")} / ${of("max")}`;
    });
    const payload = median(group.runs.flatMap((r) => r.payloadCopies ?? [])).toFixed(4);
    const whole = group.runs.every((r) => r.areSourcesWhole !== false) ? "yes" : "**no**";
    return [[group.of.what, String(group.mib), String(group.delayMs), ...cells, payload, whole]];
  });
  const heads = ["case", "MiB", "delay ms", ...MILESTONES.map((m) => `${m} s`)];
  return table([...heads, "WAN payload", "sources add up"], rows);
}

function timeOf(run: BenchRun): number {
  return run.seconds / run.boundSeconds;
}

function secondsOf(group: Group): number {
  return median(group.runs.map((r) => r.seconds));
}

function wan(group: Group): string {
  const copies = median(group.runs.map((r) => r.copies));
  return copies.toFixed(copies < 0.1 ? 4 : 3);
}

function times(group: Group): string {
  return median(group.runs.map(timeOf)).toFixed(2);
}

/** `10 of 10`, or one entry for each run when they differ. */
function completedText(group: Group): string {
  return [...new Set(group.runs.map((r) => `${r.completed} of ${r.expected}`))].join(", ");
}

function cpuText(group: Group): string {
  const busy = median(group.runs.map((r) => r.cpuPercent));
  return busy > BUSY_PERCENT ? `**${busy}**` : String(busy);
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  if (rows.length === 0) return ["Not run."];
  return [line(heads), line(heads.map(() => "---")), ...rows.map(line)];
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
