/**
 * What a real client costs, in the lab (root, network namespaces): a process that receives a version from one
 * peer through a port of 1 Gbit/s, beside a bare TLS 1.3 PSK stream through the same ports in the same round; and
 * a process that holds two versions, has ten peers and nothing to do. Ends with 1 when a gate is missed.
 *   npx tsx --conditions=ckmesh-src test/bench/peer-cpu-bench.ts [--mib 256] [--rounds 5] [--only receive|idle]
 *       [--idle-seconds 60] [--profile DIR]   (--cpu-prof of the receiving client)
 */
import { once } from "node:events";
import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, createServer } from "node:tls";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../lab/bench-run.js";
import { type Branch, withBranch } from "../lab/branch.js";
import type { BranchClient, Milestone } from "../lab/branch-client.js";
import { labAvailable } from "../lab/lab.js";
import { residentMib } from "../lab/process-usage.js";

const MIB = 1024 * 1024;
const IMAGE = "CPU";
const PORT = 9000;
const psk = Buffer.alloc(32, 2);
const tls = { minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" } as const;
/** Gates (issue 3): shares of one core, and MB. */
const MAX_RECEIVE_SHARE = 0.5;
const MAX_IDLE_SHARE = 0.005;
const MAX_IDLE_MB = 120;
const IDLE_LINKS = 10;
/** After the last transfer: finished claims are forgotten after 30 s, and garbage goes. */
const QUIET_MS = 35_000;

interface Cost {
  /** CPU seconds that 1 Gbit/s costs per second. */
  readonly share: number;
  readonly gbitPerSec: number;
}

/** Process `serve`: sends zeros to whoever connects. `receive HOST BYTES`: prints its own `Cost`. */
function serve(): void {
  const block = Buffer.alloc(MIB);
  createServer({ ...tls, pskCallback: () => psk }, (socket) => {
    const more = (): void => {
      while (!socket.destroyed && socket.write(block));
    };
    socket.on("drain", more).on("error", () => socket.destroy());
    more();
  }).listen(PORT, "0.0.0.0", () => say("ready"));
}

async function receive(host: string, bytes: number): Promise<void> {
  const socket = connect({
    ...tls,
    host,
    port: PORT,
    ca: [],
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk, identity: "bench" }),
  });
  await once(socket, "secureConnect");
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  let got = 0;
  await new Promise<void>((resolve) => {
    socket.on("data", (part) => {
      got += part.byteLength;
      if (got >= bytes) resolve();
    });
  });
  const { user, system } = process.cpuUsage(cpu);
  say(JSON.stringify(costOf((user + system) / 1e6, (performance.now() - start) / 1000, got)));
  socket.destroy();
}

function costOf(cpuSeconds: number, seconds: number, bytes: number): Cost {
  const gbit = (bytes * 8) / 1e9;
  return { share: cpuSeconds / gbit, gbitPerSec: gbit / seconds };
}

async function bareCost(branch: Branch, bytes: number): Promise<Cost> {
  const self = ["--import", createRequire(import.meta.url).resolve("tsx"), fileURLToPath(import.meta.url)];
  const server = branch.lab.spawn("s1c1", [process.execPath, ...self, "serve"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (server.stdout === null) throw new Error("unreachable: stdout is no pipe");
  await once(server.stdout, "data");
  try {
    const command = [process.execPath, ...self, "receive", branch.lab.address("s1c1"), String(bytes)];
    const cost: Cost = JSON.parse(await branch.lab.exec("s1c2", command));
    return cost;
  } finally {
    server.kill();
  }
}

/** CPU time of a client when its log tells of a milestone. */
async function cpuAt(branch: Branch, client: BranchClient, milestone: Milestone): Promise<number> {
  if (!(await branch.until(() => client.milestones.has(milestone))))
    throw new Error(`${client.host} did not get to ${milestone}: ${client.problems.join("; ")}`);
  return client.usage?.cpuSeconds ?? Number.NaN;
}

interface Round {
  readonly bare: Cost;
  readonly client: Cost;
  readonly startCpu: number;
  readonly proofCpu: number;
}

/** One client has the version, a second one joins. */
async function receiveRound(mib: number, profile: string | undefined): Promise<Round> {
  return await withBranch({ clients: 2, wanMbit: 1000, lanMbit: 1000, mib }, async (branch) => {
    branch.pack(IMAGE, 1);
    await branch.startServers();
    if (!(await branch.complete([branch.startClient("s1c1", IMAGE)], 1)))
      throw new Error("the seeder did not complete");
    const bare = await bareCost(branch, mib * MIB);
    const node = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`];
    const client = branch.startClient("s1c2", IMAGE, [], node);
    const startCpu = await cpuAt(branch, client, "firstRow");
    const heldCpu = await cpuAt(branch, client, "allRows");
    const doneCpu = await cpuAt(branch, client, "verified");
    const [from, to] = [client.milestones.get("firstRow") ?? 0, client.milestones.get("allRows") ?? 0];
    await branch.complete([client], 1);
    if (client.counts.get(1)?.origin !== 0) throw new Error("something came from the origin");
    client.child?.kill("SIGTERM");
    await client.exited;
    const cost = costOf(heldCpu - startCpu, (to - from) / 1000, branch.sizeOf(IMAGE, 1));
    return { bare, client: cost, startCpu, proofCpu: doneCpu - heldCpu };
  });
}

async function receiving(mib: number, rounds: number, profile: string | undefined): Promise<boolean> {
  const found: Round[] = [];
  for (let i = 0; i < rounds; i++) {
    const round = await receiveRound(mib, profile);
    found.push(round);
    const { bare, client, startCpu, proofCpu } = round;
    say(
      `round ${i + 1}: bare TLS ${percent(bare.share)} of a core per Gbit/s (at ${bare.gbitPerSec.toFixed(2)} Gbit/s), ` +
        `client ${percent(client.share)} (at ${client.gbitPerSec.toFixed(2)}), ${(client.share / bare.share).toFixed(2)}x; ` +
        `before the first row ${startCpu.toFixed(2)} s, proof of the pack ${proofCpu.toFixed(2)} s of CPU`,
    );
  }
  const share = median(found.map((r) => r.client.share));
  const ratio = median(found.map((r) => r.client.share / r.bare.share));
  return gate(
    share <= MAX_RECEIVE_SHARE,
    `receiving at 1 Gbit/s: ${percent(share)} of a core (gate ${percent(MAX_RECEIVE_SHARE)}), ${ratio.toFixed(2)}x bare TLS; median of ${rounds}`,
  );
}

async function idling(mib: number, seconds: number): Promise<boolean> {
  const clients = IDLE_LINKS + 1;
  return await withBranch({ clients, wanMbit: 1000, mib, limitSeconds: 300 }, async (branch) => {
    branch.pack(IMAGE, 1);
    await branch.startServers();
    for (let n = 1; n <= clients; n++) branch.startClient(`s1c${n}`, IMAGE);
    if (!(await branch.complete(branch.clients, 1))) throw new Error("version 1 did not come");
    branch.pack(IMAGE, 2, 4 * MIB);
    if (!(await branch.complete(branch.clients, 2))) throw new Error("version 2 did not come");
    await sleep(QUIET_MS);
    const links = await Promise.all(branch.clients.map((c) => branch.peers(c, 2)));
    const before = branch.clients.map((c) => c.usage?.cpuSeconds ?? Number.NaN);
    await sleep(seconds * 1000);
    const shares = branch.clients.map((c, i) => ((c.usage?.cpuSeconds ?? 0) - (before[i] ?? 0)) / seconds);
    const memory = branch.clients.map((c) => (residentMib(c.child?.pid ?? 0) * MIB) / 1e6);
    say(
      `links ${links.join(" ")}; CPU ${shares.map(percent).join(" ")}; MB ${memory.map(Math.round).join(" ")}`,
    );
    const [share, mb] = [median(shares), median(memory)];
    const isQuiet = gate(
      share <= MAX_IDLE_SHARE,
      `idle with ${Math.min(...links)} or more links: ${percent(share)} of a core over ${seconds} s (gate ${percent(MAX_IDLE_SHARE)})`,
    );
    const isSmall = gate(
      mb <= MAX_IDLE_MB,
      `idle with two versions: ${Math.round(mb)} MB resident (gate ${MAX_IDLE_MB})`,
    );
    return isQuiet && isSmall;
  });
}

function gate(isMet: boolean, text: string): boolean {
  say(`${isMet ? "met" : "MISSED"}: ${text}`);
  return isMet;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 2 : 0)} %`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      mib: { type: "string", default: "256" },
      rounds: { type: "string", default: "5" },
      only: { type: "string" },
      "idle-seconds": { type: "string", default: "60" },
      profile: { type: "string" },
    },
  });
  const reason = labAvailable();
  if (reason !== undefined) throw new Error(`no lab: ${reason}`);
  let isMet = true;
  const mib = Number(values.mib);
  if (values.only !== "idle") isMet = await receiving(mib, Number(values.rounds), values.profile);
  if (values.only !== "receive") isMet = (await idling(mib, Number(values["idle-seconds"]))) && isMet;
  if (!isMet) process.exitCode = 1;
}

const [role, host, bytes] = process.argv.slice(2);
if (role === "serve") serve();
else if (role === "receive") await receive(host ?? "", Number(bytes));
else await main();
