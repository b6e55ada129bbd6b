/* oxlint-disable eslint/no-console -- a bench speaks */
import { fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type Figure,
  firstUrl,
  IMAGE,
  makeCertificate,
  makeImage,
  measure,
  missingTools,
  pin,
  type Server,
  startOriginServer,
  stop,
} from "./wrk-load.js";

/**
 * What GET costs at an origin that receives uploads by the same connections, and at a plain file server in Node that
 * does, both beside the plain server itself, in turns:
 * `npx tsx --conditions=ckmesh-src test/bench/bits-bench.ts [--mib 64] [--seconds 2] [--rounds 5] [--connections 1,16]`,
 * after a build. The server runs on core 0, wrk on core 1. Wanted: 0.97 x or more of the plain server's throughput. On a busy
 * machine only the CPU that a GB takes can be compared.
 */
const { values: args } = parseArgs({
  options: {
    mib: { type: "string", default: "64" },
    seconds: { type: "string", default: "2" },
    rounds: { type: "string", default: "5" },
    connections: { type: "string", default: "1,16" },
  },
});

/** Bytes of a range; undefined = the whole file. */
const RANGES = [64 * 1024, undefined];

/** Sent by each server before it counts, in ranges of 64 KiB: on a busy machine a second does not compile its code. */
const WARM_BYTES = 1.5e9;

const missing = missingTools(["wrk", "taskset", "openssl", "curl"]);
if (missing.length > 0) console.log(`skipped: ${missing.join(", ")} not installed`);
else await main();

async function main(): Promise<void> {
  const base = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const folder = mkdtempSync(join(base, "ckmesh-bench-"));
  try {
    const root = join(folder, "images");
    await mkdir(root);
    const size = await makeImage(folder, root, Number(args.mib));
    makeCertificate(folder);
    console.log(
      "beside a plain Node server: scheme range connections | origin: throughput, CPU | the same server with BITS: throughput, CPU",
    );
    for (const scheme of ["http", "https"] as const) await benchScheme(scheme, folder, root, size); // oxlint-disable-line no-await-in-loop -- one at a time
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function benchScheme(
  scheme: "http" | "https",
  folder: string,
  root: string,
  size: number,
): Promise<void> {
  const flags = { "bits.BITSUploadEnabled": true };
  const origin = await startOriginServer(scheme, folder, root, flags);
  const receiving = await startPlainServer("bits", scheme, folder, root);
  const plain = await startPlainServer("plain", scheme, folder, root);
  const servers = [origin, receiving, plain];
  const load = { folder, size, seconds: Number(args.seconds) };
  try {
    // Compiled code and a warm page cache for all before anything counts.
    for (const server of servers) {
      let bytes = 0;
      while (bytes < WARM_BYTES) {
        bytes +=
          measure({ ...load, server, range: 64 * 1024, connections: 16 }).mbPerSec * load.seconds * 1e6;
      }
    }
    for (const range of RANGES) {
      for (const connections of args.connections.split(",").map(Number)) {
        const rounds = Array.from({ length: Number(args.rounds) }, (_, round) => {
          const order = round % 2 === 0 ? servers : servers.toReversed();
          const figures = order.map((server) => measure({ ...load, server, range, connections }));
          return round % 2 === 0 ? figures : figures.toReversed();
        });
        const label = `${scheme} ${range === undefined ? "whole" : `${range / 1024} KiB`} ${connections}`;
        console.log(`${label} | ${beside(rounds, 0)} | ${beside(rounds, 1)}`);
      }
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

/** A server beside the last one: its throughput and CPU per GB as a ratio, median (lowest to highest). */
function beside(rounds: readonly (readonly Figure[])[], which: number): string {
  const ratios = (of: (figure: Figure) => number): string =>
    summary(
      rounds.map((figures) => {
        const [one, plain] = [figures[which], figures.at(-1)];
        if (one === undefined || plain === undefined) throw new Error("unreachable: a figure of each server");
        return of(one) / of(plain);
      }),
    );
  return `${ratios((figure) => figure.mbPerSec)}, ${ratios((figure) => figure.cpuPerGb)}`;
}

async function startPlainServer(
  kind: "plain" | "bits",
  scheme: "http" | "https",
  folder: string,
  root: string,
): Promise<Server> {
  const tls = scheme === "http" ? [] : [join(folder, "cert.pem"), join(folder, "key.pem")];
  const child = fork(new URL("./plain-node-server.ts", import.meta.url), [kind, join(root, IMAGE), ...tls], {
    execArgv: ["--import", "tsx"],
  });
  pin(child);
  const [message]: unknown[] = await once(child, "message");
  return {
    name: "plain",
    pid: child.pid ?? 0,
    url: `${firstUrl(message)}/${IMAGE}`,
    stop: () => stop(child),
  };
}

function summary(ratios: readonly number[]): string {
  const [low, high] = [Math.min(...ratios), Math.max(...ratios)];
  return `${median(ratios).toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
