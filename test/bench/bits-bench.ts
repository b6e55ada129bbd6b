/* oxlint-disable eslint/no-console -- a bench speaks */
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Case, LoadedServer, type Turn } from "./loaded-server.js";
import {
  IMAGE,
  makeCertificate,
  makeImage,
  missingTools,
  pin,
  startOriginServer,
  urlsOf,
} from "./wrk-load.js";

/**
 * What GET costs at an origin that receives uploads by the same connections, and what receiving them costs a plain file
 * server in Node, both beside that server without:
 * `npx tsx --conditions=ckmesh-src test/bench/bits-bench.ts [--mib 16] [--turns 100] [--connections 8]`, after a build.
 * The servers take turns of a few requests each, so that a busy machine is equally busy for all of them. Wanted: 0.97 x or
 * more of the plain server's throughput.
 */
const { values: args } = parseArgs({
  options: {
    mib: { type: "string", default: "16" },
    turns: { type: "string", default: "100" },
    connections: { type: "string", default: "8" },
  },
});

type Scheme = "http" | "https";

const CASES: readonly Case[] = [
  { label: "64 KiB", headers: "Range: bytes=1048576-1114111\r\n", requests: 30 },
  { label: "whole", headers: "", requests: 1 },
];
/** Turns that do not count, so that the code of all servers is compiled. */
const WARM_TURNS = 25;

const missing = missingTools(["taskset", "openssl", "curl"]);
if (missing.length > 0) console.log(`skipped: ${missing.join(", ")} not installed`);
else await main();

async function main(): Promise<void> {
  const base = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const folder = mkdtempSync(join(base, "ckmesh-bench-"));
  try {
    const root = join(folder, "images");
    await mkdir(root);
    await makeImage(folder, root, Number(args.mib));
    makeCertificate(folder);
    console.log("beside a plain Node server, medians (quartiles): throughput | CPU");
    /* oxlint-disable no-await-in-loop -- one at a time */
    for (const scheme of ["http", "https"] as const) {
      const servers = [await openOrigin(scheme, folder, root), ...(await openPlain(scheme, folder, root))];
      try {
        for (const one of CASES) await benchCase(scheme, one, servers);
      } finally {
        for (const server of servers) await server.close();
      }
    }
    /* oxlint-enable no-await-in-loop */
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function benchCase(scheme: Scheme, one: Case, servers: readonly LoadedServer[]): Promise<void> {
  const rounds: (readonly Turn[])[] = [];
  /* oxlint-disable no-await-in-loop -- turns */
  for (let n = 0; n < WARM_TURNS + Number(args.turns); n += 1) {
    const round: Turn[] = [];
    // Each is as often the first as the last.
    for (let i = 0; i < servers.length; i += 1) {
      const at = (i + n) % servers.length;
      const turn = await servers[at]?.turn(one);
      if (turn !== undefined) round[at] = turn;
    }
    if (n >= WARM_TURNS) rounds.push(round);
  }
  /* oxlint-enable no-await-in-loop */
  for (const [at, { name }] of servers.slice(0, -1).entries()) {
    const ratios = (of: (own: Turn, plain: Turn) => number): string =>
      summary(
        rounds.map((round) => {
          const [own, plain] = [round[at], round.at(-1)];
          if (own === undefined || plain === undefined) throw new Error("unreachable: each had its turn");
          return of(own, plain);
        }),
      );
    const throughput = ratios((own, plain) => plain.ms / own.ms);
    console.log(
      `${scheme} ${one.label}, ${name}: ${throughput} | ${ratios((own, plain) => own.cpuUs / plain.cpuUs)}`,
    );
  }
}

async function openOrigin(scheme: Scheme, folder: string, root: string): Promise<LoadedServer> {
  const { child, url } = await startOriginServer(scheme, folder, root, { "bits.BITSUploadEnabled": true });
  return LoadedServer.open("the origin", child, url, Number(args.connections));
}

/** With BITS, and without: the one that the others stand beside. */
async function openPlain(scheme: Scheme, folder: string, root: string): Promise<readonly LoadedServer[]> {
  const tls = scheme === "http" ? [] : [join(folder, "cert.pem"), join(folder, "key.pem")];
  const script = new URL("./plain-node-server.ts", import.meta.url);
  const child = fork(script, [join(root, IMAGE), ...tls], { execArgv: ["--import", "tsx"] });
  pin(child);
  const [message]: unknown[] = await once(child, "message");
  const [plain, receiving] = urlsOf(message).map((url) => `${url}/${IMAGE}`);
  if (plain === undefined || receiving === undefined) throw new Error("the plain server does not listen");
  const connections = Number(args.connections);
  return [
    await LoadedServer.open("the plain server with BITS", child, receiving, connections),
    await LoadedServer.open("the plain server", child, plain, connections),
  ];
}

function summary(ratios: readonly number[]): string {
  const sorted = ratios.toSorted((a, b) => a - b);
  const [low, middle, high] = [0.25, 0.5, 0.75].map((part) => sorted[Math.floor(sorted.length * part)] ?? 0);
  return `${middle?.toFixed(2)} (${low?.toFixed(2)} to ${high?.toFixed(2)})`;
}
