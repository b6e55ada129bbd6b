/**
 * Simulates fleets on virtual time with the production decisions, and prints what crosses the WAN and how long
 * clients take, beside what others published. Run:
 *   npx tsx --conditions=ckmesh-src scripts/simulate.ts [--case fleet|kraken|dragonfly|all] [--sites N]
 *     [--clients N] [--mib N] [--row-kib N] [--wan MBIT] [--spread SECONDS] [--seed N] [--hosts N] [--figures DIR]
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { simImage } from "@ckmesh/sim";
import { percentile, runSite, type SiteOutcome } from "./run-site.js";
import { cumulative, type Figure, svgCurve } from "./svg-curve.js";

const [KIB, MIB] = [1024, 1024 * 1024];
const { values } = parseArgs({
  options: {
    case: { type: "string", default: "fleet" },
    sites: { type: "string", default: "1000" },
    clients: { type: "string", default: "15" },
    mib: { type: "string", default: "64" },
    "row-kib": { type: "string", default: "256" },
    wan: { type: "string", default: "50" },
    spread: { type: "string", default: "1" },
    seed: { type: "string", default: "1" },
    hosts: { type: "string", default: "2600" },
    figures: { type: "string" },
  },
});
const seed = Number(values.seed);

function figure(name: string, content: Figure): void {
  if (values.figures === undefined) return;
  mkdirSync(values.figures, { recursive: true });
  const file = join(values.figures, `${name}.svg`);
  writeFileSync(file, svgCurve(content));
  console.log(`  figure              ${file}`);
}

function timed<T>(run: () => T): { result: T; cpuSeconds: number } {
  const began = process.cpuUsage();
  const result = run();
  const { user, system } = process.cpuUsage(began);
  return { result, cpuSeconds: (user + system) / 1e6 };
}

function fleet(): void {
  const [sites, clients, wan] = [Number(values.sites), Number(values.clients), Number(values.wan) * 1e6];
  const spreadMs = Number(values.spread) * 1000;
  const image = simImage(Number(values.mib) * MIB, Number(values["row-kib"]) * KIB);
  const { result: outcomes, cpuSeconds } = timed(() =>
    Array.from({ length: sites }, (_, i) =>
      runSite({ image, seed: seed * 1_000_003 + i, wan }, clients, spreadMs),
    ),
  );
  const times = outcomes.flatMap((o) => o.times).toSorted((a, b) => a - b);
  const copies = outcomes.map((o) => o.copies).toSorted((a, b) => a - b);
  const mean = copies.reduce((a, b) => a + b, 0) / copies.length;
  const total = (of: (o: SiteOutcome) => number): number => outcomes.reduce((sum, o) => sum + of(o), 0);
  const egress = sumBySecond(outcomes.map((o) => o.egress));
  console.log(
    `fleet: ${sites} sites x ${clients} clients, ${values.mib} MiB in rows of ${values["row-kib"]} KiB, ${values.wan} Mbit/s each, starts within ${values.spread} s, seed ${seed}`,
  );
  console.log(`  WAN amplification   mean ${mean.toFixed(4)}, worst ${(copies.at(-1) ?? 0).toFixed(4)}`);
  console.log(
    `  completion / bound  p50 ${percentile(times, 0.5).toFixed(3)}, p99 ${percentile(times, 0.99).toFixed(3)}, p99.9 ${percentile(times, 0.999).toFixed(3)}, worst ${(times.at(-1) ?? 0).toFixed(3)}`,
  );
  console.log(
    `  origin egress       ${((mean * image.bytes * sites) / 1e9).toFixed(2)} GB, bound ${((image.bytes * sites) / 1e9).toFixed(2)} GB; at most ${((Math.max(...egress) * 8) / 1e9).toFixed(2)} Gbit/s`,
  );
  const seconds = Math.max(...outcomes.map((o) => o.seconds));
  const requests = total((o) => o.trackerRequests);
  console.log(
    `  tracker             ${requests} requests, ${(requests / Number(values.spread)).toFixed(0)}/s while they start, ${(requests / seconds).toFixed(0)}/s over ${seconds.toFixed(0)} s`,
  );
  console.log(
    `  messages            ${(total((o) => o.messages) / (sites * clients)).toFixed(0)} per client`,
  );
  console.log(`  CPU                 ${cpuSeconds.toFixed(1)} s`);
  const who = `${sites} sites, ${sites * clients} clients`;
  const [one, two] = ["#06c", "#c60"];
  figure("fleet-completion", {
    title: `Completion time over its bound (${who})`,
    x: "time / bound",
    y: "share of clients",
    series: [{ name: "ckmesh", colour: one, points: cumulative(times) }],
    mark: 1,
  });
  figure("fleet-wan", {
    title: `Copies over each WAN link (${who})`,
    x: "WAN bytes / image bytes",
    y: "share of sites",
    series: [{ name: "ckmesh", colour: one, points: [[0.9, 0], [copies[0] ?? 1, 0], ...cumulative(copies)] }],
    mark: 1.05,
    from: 0.9,
  });
  const bound = (image.bytes * sites) / 1e9;
  figure("fleet-egress", {
    title: `Egress of the origin, summed (${who})`,
    x: "seconds",
    y: "GB",
    series: [
      { name: "ckmesh", colour: one, points: runningSum(egress).map((bytes, s) => [s, bytes / 1e9]) },
      {
        name: "one copy per site",
        colour: two,
        points: [
          [0, bound],
          [egress.length, bound],
        ],
      },
    ],
  });
}

function sumBySecond(lists: readonly (readonly number[])[]): number[] {
  const longest = Math.max(...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, s) => lists.reduce((sum, list) => sum + (list[s] ?? 0), 0));
}

function runningSum(list: readonly number[]): number[] {
  let sum = 0;
  return [0, ...list.map((value) => (sum += value))];
}

/** Dragonfly's published measure: copies from the source for 50 to 500 peers of one site. */
function dragonfly(): void {
  const published = [
    [50, 1.0],
    [100, 1.03],
    [200, 1.09],
    [500, 1.56],
  ] as const;
  const ours: (readonly [number, number])[] = [];
  console.log("copies from the source, 128 MiB in rows of 1 MiB, 200 Mbit/s, starts within 1 s");
  console.log("peers  Dragonfly (published)  ckmesh (simulated)  last / bound  CPU s");
  for (const [peers, theirs] of published) {
    const image = simImage(128 * MIB, MIB);
    const { result, cpuSeconds } = timed(() => runSite({ image, seed, wan: 200e6 }, peers, 1000));
    ours.push([peers, result.copies]);
    console.log(
      `${String(peers).padStart(5)}  ${theirs.toFixed(2).padStart(21)}  ${result.copies.toFixed(3).padStart(18)}  ${Math.max(
        ...result.times,
      )
        .toFixed(2)
        .padStart(12)}  ${cpuSeconds.toFixed(1).padStart(5)}`,
    );
  }
  figure("dragonfly-copies", {
    title: "Copies from the source, by peers of one site",
    x: "peers",
    y: "copies",
    series: [
      { name: "Dragonfly (published)", colour: "#c60", points: published },
      { name: "ckmesh (simulated)", colour: "#06c", points: ours },
    ],
  });
}

/** Kraken's published case: 3 GB to 2,600 hosts, every host and the origin at 300 MB/s. */
function kraken(): void {
  const hosts = Number(values.hosts);
  const rate = 300e6 * 8;
  // Kraken's pieces: longer rows make every hop of a row slower than it is, shorter ones cost more events.
  const rowMib = 4;
  const image = simImage(3e9, rowMib * MIB);
  const { result, cpuSeconds } = timed(() =>
    runSite({ image, seed, wan: rate, lan: rate, wanMs: 1 }, hosts, 1000),
  );
  const limit = (image.bytes * 8) / rate;
  const ratios = result.clientSeconds.map((s) => s / limit).toSorted((a, b) => a - b);
  const spreading = (1 + Math.floor(Math.log2(hosts)) / image.lengths.length) * limit;
  console.log(
    `3 GB in rows of ${rowMib} MiB (64 KiB in production: fewer events), ${hosts} hosts, 300 MB/s: time over the limit of ${limit.toFixed(1)} s`,
  );
  console.log(
    `  least for spreading on the LAN alone (Mundinger, Weber, Weiss): ${(spreading / limit).toFixed(3)}`,
  );
  console.log("  Kraken (published, 2,600 hosts)  p50 1.0, p99 1.8, p99.9 2.2");
  console.log(
    `  ckmesh (simulated)               p50 ${percentile(ratios, 0.5).toFixed(2)}, p99 ${percentile(ratios, 0.99).toFixed(2)}, p99.9 ${percentile(ratios, 0.999).toFixed(2)}; ${result.copies.toFixed(3)} copies from the source, ${(result.messages / hosts).toFixed(0)} messages per host, CPU ${cpuSeconds.toFixed(0)} s`,
  );
  figure("kraken-completion", {
    title: `3 GB to ${hosts} hosts at 300 MB/s: time over the limit`,
    x: "time / limit",
    y: "share of hosts",
    series: [
      {
        name: "Kraken (published)",
        colour: "#c60",
        points: [
          [1.0, 0.5],
          [1.8, 0.99],
          [2.2, 0.999],
        ],
      },
      { name: "ckmesh (simulated)", colour: "#06c", points: cumulative(ratios) },
    ],
    mark: 1,
  });
}

const cases: Readonly<Record<string, readonly (() => void)[]>> = {
  fleet: [fleet],
  kraken: [kraken],
  dragonfly: [dragonfly],
  all: [fleet, kraken, dragonfly],
};
const chosen = cases[values.case];
if (chosen === undefined) {
  console.error(`no case ${values.case}: ${Object.keys(cases).join(", ")}`);
  process.exitCode = 2;
} else {
  for (const run of chosen) run();
}
