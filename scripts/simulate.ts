/**
 * Simulates fleets on virtual time with the production decisions, and prints what crosses the WAN and how long
 * clients take. Run: npx tsx --conditions=ckmesh-src scripts/simulate.ts [--sites N] [--clients N] [--mib N]
 *   [--wan MBIT] [--seed N] [--svg FILE] [--case fleet|kraken|dragonfly|all]
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { seededRandom } from "@ckmesh/core";
import { SimSite, type SiteOptions, simImage } from "@ckmesh/sim";

const MIB = 1024 * 1024;
const { values } = parseArgs({
  options: {
    sites: { type: "string", default: "1000" },
    clients: { type: "string", default: "15" },
    mib: { type: "string", default: "64" },
    wan: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
    svg: { type: "string" },
    case: { type: "string", default: "fleet" },
  },
});

interface Outcome {
  /** WAN bytes over image bytes. */
  readonly copies: number;
  /** Each client's time over the bound of its site. */
  readonly times: readonly number[];
  readonly seconds: number;
  readonly messages: number;
  readonly trackerRequests: number;
  readonly wanBytes: number;
}

/** One site: clients start within `spreadMs`, in the seed's order. */
function runSite(options: SiteOptions, clients: number, spreadMs: number, stepMs = 25): Outcome {
  const site = new SimSite(options);
  const random = seededRandom(options.seed);
  const starts = Array.from({ length: clients }, () => random.next() * spreadMs).toSorted((a, b) => a - b);
  for (const at of starts) {
    site.clock.advance(at - site.clock.now());
    site.start();
  }
  if (!site.run(24 * 3_600_000, stepMs))
    throw new Error(`site ${options.seed}: not everybody completed in a day`);
  const bound = (options.image.bytes * 8000) / options.wan;
  return {
    copies: site.wan.bytes / options.image.bytes,
    times: site.nodes.map((n) => ((n.completeAt ?? 0) - n.startedAt) / bound),
    seconds: site.clock.now() / 1000,
    messages: site.nodes.reduce((sum, n) => sum + n.messages, 0),
    trackerRequests: site.trackerRequests,
    wanBytes: site.wan.bytes,
  };
}

function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

function fleet(): void {
  const [sites, clients, wan] = [Number(values.sites), Number(values.clients), Number(values.wan) * 1e6];
  const image = simImage(Number(values.mib) * MIB, 256 * 1024);
  const began = process.cpuUsage();
  const outcomes: Outcome[] = [];
  for (let i = 0; i < sites; i++) {
    outcomes.push(runSite({ image, seed: Number(values.seed) * 1_000_003 + i, wan }, clients, 1000));
  }
  const cpu = process.cpuUsage(began);
  const times = outcomes.flatMap((o) => o.times).toSorted((a, b) => a - b);
  const copies = outcomes.map((o) => o.copies).toSorted((a, b) => a - b);
  const messages = outcomes.reduce((sum, o) => sum + o.messages, 0);
  const seconds = Math.max(...outcomes.map((o) => o.seconds));
  const mean = copies.reduce((a, b) => a + b, 0) / copies.length;
  console.log(
    `fleet: ${sites} sites x ${clients} clients, ${values.mib} MiB, ${values.wan} Mbit/s each, seed ${values.seed}`,
  );
  console.log(`  WAN amplification   mean ${mean.toFixed(4)}, worst ${(copies.at(-1) ?? 0).toFixed(4)}`);
  console.log(
    `  completion / bound  p50 ${percentile(times, 0.5).toFixed(3)}, p99 ${percentile(times, 0.99).toFixed(3)}, p99.9 ${percentile(times, 0.999).toFixed(3)}, worst ${(times.at(-1) ?? 0).toFixed(3)}`,
  );
  const egress = outcomes.reduce((sum, o) => sum + o.wanBytes, 0);
  console.log(
    `  origin egress       ${(egress / 1e9).toFixed(2)} GB, bound ${((image.bytes * sites) / 1e9).toFixed(2)} GB`,
  );
  console.log(
    `  tracker             ${(outcomes.reduce((sum, o) => sum + o.trackerRequests, 0) / seconds).toFixed(1)} requests/s`,
  );
  console.log(`  messages            ${(messages / (sites * clients)).toFixed(0)} per client`);
  console.log(`  CPU                 ${((cpu.user + cpu.system) / 1e6).toFixed(1)} s`);
  if (values.svg !== undefined) {
    writeFileSync(values.svg, curve("completion time / bound", times, `${sites * clients} clients`));
    console.log(`  curve               ${values.svg}`);
  }
}

/** Dragonfly's published measure: copies from the source for 50 to 500 peers of one site. */
function dragonfly(): void {
  const published = new Map([
    [50, 1.0],
    [100, 1.03],
    [200, 1.09],
    [500, 1.56],
  ]);
  console.log("peers  Dragonfly (published)  ckmesh (simulated): copies from the source");
  for (const [peers, theirs] of published) {
    const image = simImage(128 * MIB, MIB);
    const { copies } = runSite({ image, seed: Number(values.seed), wan: 200e6 }, peers, 1000);
    console.log(`${String(peers).padStart(5)}  ${theirs.toFixed(2).padStart(21)}  ${copies.toFixed(3)}`);
  }
}

/** Kraken's published case, scaled down in hosts: 3 GB, every host and the origin at 300 MB/s. */
function kraken(): void {
  const hosts = Number(values.clients);
  const rate = 300e6 * 8;
  const image = simImage(3e9, 4 * MIB);
  const { times, copies } = runSite(
    { image, seed: Number(values.seed), wan: rate, lan: rate },
    hosts,
    1000,
    5,
  );
  const sorted = times.toSorted((a, b) => a - b);
  console.log(`3 GB, ${hosts} hosts, 300 MB/s: time over the limit`);
  console.log("Kraken (published, 2600 hosts)  p50 1.0, p99 1.8, p99.9 2.2");
  console.log(
    `ckmesh (simulated)              p50 ${percentile(sorted, 0.5).toFixed(2)}, p99 ${percentile(sorted, 0.99).toFixed(2)}, p99.9 ${percentile(sorted, 0.999).toFixed(2)}; ${copies.toFixed(3)} copies from the source`,
  );
}

/** A cumulative curve as a small SVG. */
function curve(title: string, sorted: readonly number[], subtitle: string): string {
  const [width, height, pad] = [640, 360, 48];
  const most = Math.max(1.5, sorted.at(-1) ?? 1);
  const x = (v: number): string => (pad + ((width - 2 * pad) * v) / most).toFixed(1);
  const y = (p: number): string => (height - pad - (height - 2 * pad) * p).toFixed(1);
  const points = Array.from(
    { length: 201 },
    (_, i) => `${x(percentile(sorted, i / 200))},${y(i / 200)}`,
  ).join(" ");
  const ticks = Array.from({ length: Math.floor(most / 0.5) + 1 }, (_, i) => i * 0.5)
    .map((v) => `<text x="${x(v)}" y="${height - pad + 18}" text-anchor="middle">${v}</text>`)
    .join("");
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/><text x="${pad}" y="24">${title} (${subtitle})</text>
<line x1="${x(1)}" y1="${y(0)}" x2="${x(1)}" y2="${y(1)}" stroke="#bbb" stroke-dasharray="4"/>
<path d="M${pad} ${pad}V${height - pad}H${width - pad}" fill="none" stroke="black"/>${ticks}
<polyline points="${points}" fill="none" stroke="#06c" stroke-width="2"/></svg>
`;
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
