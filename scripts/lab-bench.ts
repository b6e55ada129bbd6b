/**
 * Measures a branch office in the lab (network namespaces, root): what crosses the WAN and how long the slowest
 * client takes, ours and, where their packages are installed, rivals in the same run. Prints a Markdown table.
 * Run: npx tsx scripts/lab-bench.ts [--runs 3] [--cases cold10,late,…] [--mib 256] [--rivals] [--delay-ms D]
 */
import { execFileSync } from "node:child_process";
import { parseArgs } from "node:util";
import { type Branch, type BranchOptions, coldStart, withBranch } from "../test/lab/branch.js";
import { labAvailable } from "../test/lab/lab.js";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "3" },
    cases: { type: "string" },
    mib: { type: "string" },
    "delay-ms": { type: "string" },
    rivals: { type: "boolean", default: false },
  },
});

/** Copies over the WAN on the wire, time over size / rate, and how many clients completed. */
interface Row {
  readonly copies: number;
  readonly time: number;
  readonly completed: string;
}

const IMAGE = "BENCH";
const delay = values["delay-ms"] === undefined ? {} : { delayMs: Number(values["delay-ms"]) };
const options = (
  clients: number,
  wanMbit = 50,
  mib = 256,
  more: Partial<BranchOptions> = {},
): BranchOptions => ({
  clients,
  wanMbit,
  mib: Number(values.mib ?? mib),
  ...delay,
  ...more,
});

async function branch(of: BranchOptions, use: (b: Branch) => Promise<Row>): Promise<Row> {
  return await withBranch(of, async (b) => {
    b.pack(IMAGE, 1);
    await b.startServers();
    return await use(b);
  });
}

function cold(of: BranchOptions, during?: (b: Branch) => Promise<void>, killed = 0): () => Promise<Row> {
  return () =>
    branch(of, async (b) => {
      const result = await coldStart(b, IMAGE, during === undefined ? undefined : () => during(b));
      const expected = (of.clients ?? 4) - killed;
      return { copies: result.copies, time: result.last, completed: `${result.completed} of ${expected}` };
    });
}

async function late(): Promise<Row> {
  return await branch(options(5), async (b) => {
    for (let n = 1; n <= 4; n++) b.startClient(`s1c${n}`, IMAGE);
    await b.complete(b.clients, 1);
    const before = await b.lab.stats();
    const client = b.startClient("s1c5", IMAGE);
    const done = await b.complete([client], 1);
    const size = b.sizeOf(IMAGE, 1);
    const took = (client.verifiedAt.get(1) ?? Number.NaN) - client.startedAt;
    const { wan } = await b.lab.stats(before);
    return {
      copies: (wan.get("site1")?.down ?? 0) / size,
      time: took / ((size * 8) / 1e6),
      completed: done ? "1 of 1" : "0 of 1",
    };
  });
}

async function update(): Promise<Row> {
  const of = options(10);
  return await branch(of, async (b) => {
    for (let n = 1; n <= 10; n++) b.startClient(`s1c${n}`, IMAGE);
    await b.complete(b.clients, 1);
    const changed = Math.round(of.mib * 0.05) * 1024 * 1024;
    b.pack(IMAGE, 2, changed);
    const before = await b.lab.stats();
    const begin = Date.now();
    await b.complete(b.clients, 2);
    const { wan } = await b.lab.stats(before);
    const times = b.clients.map((c) => (c.verifiedAt.get(2) ?? Number.NaN) - begin);
    const done = b.clients.filter((c) => c.verifiedAt.has(2)).length;
    return {
      copies: (wan.get("site1")?.down ?? 0) / changed,
      time: Math.max(...times) / ((changed * 8) / 50_000),
      completed: `${done} of 10`,
    };
  });
}

/** Waits until the clients together hold a share of version 1. */
async function reaches(b: Branch, share: number): Promise<void> {
  const size = b.sizeOf(IMAGE, 1);
  while (b.progress(1, size) < share) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function killFetcher(b: Branch): Promise<void> {
  await reaches(b, 0.5);
  const fetched = b.clients.map((c) => c.bytes.get(1)?.number("origin", 0, Number.MAX_SAFE_INTEGER) ?? 0);
  const at = fetched.indexOf(Math.max(...fetched));
  const [victim] = b.clients.splice(at, 1);
  victim?.child.kill("SIGKILL");
}

const CASES: Readonly<Record<string, { what: string; run: () => Promise<Row> }>> = {
  cold4: { what: "4 clients, cold, same second", run: cold(options(4)) },
  cold10: { what: "10 clients, cold, same second", run: cold(options(10)) },
  cold20: { what: "20 clients, 20 Mbit/s WAN", run: cold(options(20, 20, 128)) },
  late: { what: "late joiner (time over size / 1 Gbit/s)", run: late },
  notracker: { what: "10 clients, no tracker", run: cold(options(10, 50, 256, { hasTracker: false })) },
  update: { what: "10 clients, update of 5 % (over the changed bytes)", run: update },
  killfetcher: { what: "10 clients, fetcher killed at 50 %", run: cold(options(10), killFetcher, 1) },
  killtracker: {
    what: "10 clients, tracker killed at 25 %",
    run: cold(options(10), async (b) => {
      await reaches(b, 0.25);
      b.tracker?.kill("SIGKILL");
    }),
  },
  wancut: {
    what: "10 clients, WAN cut for 15 s",
    run: cold(options(10), async (b) => {
      await reaches(b, 0.4);
      await b.lab.wan(1, "down");
      await new Promise((resolve) => setTimeout(resolve, 15_000));
      await b.lab.wan(1, "up");
    }),
  },
};

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

/** A rival, by the script that knows how each is run; undefined when it does not run here. */
function rival(name: string): Row | undefined {
  const script = new URL("../test/lab/swarm_bench.py", import.meta.url).pathname;
  const mib = values.mib ?? "256";
  const args = [script, name, "-n", "10", "--mib", mib, "--wan", "50", "--late", "0", "--limit", "600"];
  if (values["delay-ms"] !== undefined) args.push("--delay-ms", values["delay-ms"]);
  try {
    const out: unknown = JSON.parse(
      execFileSync("python3", args, {
        encoding: "utf8",
        timeout: 900_000,
        stdio: ["ignore", "pipe", "pipe"],
      }),
    );
    const found = out as { wan_x: number; last_x: number; done: number };
    return { copies: found.wan_x, time: found.last_x, completed: `${found.done} of 10` };
  } catch (err) {
    console.error(`${name} skipped: ${String(err).split("\n")[0]}`);
    return undefined;
  }
}

function line(what: string, rows: readonly Row[]): void {
  const cells = [
    what,
    median(rows.map((r) => r.copies)).toFixed(3),
    median(rows.map((r) => r.time)).toFixed(2),
    rows.map((r) => r.completed).join(", "),
  ];
  console.log(`| ${cells.join(" | ")} |`);
}

const reason = labAvailable();
if (reason !== undefined) {
  console.error(`no lab: ${reason}`);
  process.exit(1);
}
const runs = Number(values.runs);
console.log("| case | WAN copies on the wire | slowest over size / rate | completed |\n|---|---|---|---|");
for (const name of values.cases?.split(",") ?? Object.keys(CASES)) {
  const found = CASES[name];
  if (found === undefined) {
    console.error(`no case ${name}: ${Object.keys(CASES).join(", ")}`);
    continue;
  }
  const rows: Row[] = [];
  for (let i = 0; i < runs; i++) rows.push(await found.run());
  line(`ckmesh: ${found.what}`, rows);
}
if (values.rivals) {
  for (const name of ["http", "transmission", "aria2c", "libtorrent"]) {
    const rows: Row[] = [];
    for (let i = 0; i < runs; i++) rows.push(...[rival(name)].filter((r) => r !== undefined));
    if (rows.length > 0) line(`${name}: 10 clients, cold`, rows);
  }
}
