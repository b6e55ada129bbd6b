/* oxlint-disable eslint/no-console -- a bench speaks */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type Figure,
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
 * Throughput and CPU of the origin beside nginx serving the same file, both measured one after the other in
 * every cell: `npx tsx --conditions=ckmesh-src test/bench/origin-bench.ts [--mib 128] [--seconds 2] [--connections 1,16]`,
 * after a build.
 * The server runs on core 0, wrk on core 1. CPU is user and system time of the server per GB sent.
 */
const { values: args } = parseArgs({
  options: {
    mib: { type: "string", default: "128" },
    seconds: { type: "string", default: "2" },
    connections: { type: "string", default: "1,16" },
  },
});

/** Bytes of a range; undefined = the whole file. */
const RANGES = [64 * 1024, 1024 * 1024, 8 * 1024 * 1024, undefined];

const missing = missingTools(["nginx", "wrk", "taskset", "openssl", "curl"]);
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
      "scheme range connections | origin MB/s, CPU s/GB | nginx MB/s, CPU s/GB | throughput ratio, CPU ratio",
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
  const servers = [await startOriginServer(scheme, folder, root), await startNginx(scheme, folder, root)];
  try {
    // Compiled code and a warm page cache for both before anything counts.
    const load = { folder, size, seconds: Number(args.seconds) };
    for (const server of servers) measure({ ...load, server, range: 64 * 1024, connections: 16 });
    for (const range of RANGES) {
      for (const connections of args.connections.split(",").map(Number)) {
        const [origin, nginx] = servers.map((server) => measure({ ...load, server, range, connections }));
        if (origin === undefined || nginx === undefined) throw new Error("unreachable: two servers");
        const ratio = (origin.mbPerSec / nginx.mbPerSec).toFixed(2);
        const cpu = (origin.cpuPerGb / nginx.cpuPerGb).toFixed(2);
        const label = range === undefined ? "whole" : `${range / 1024} KiB`;
        console.log(
          `${scheme} ${label} ${connections} | ${show(origin)} | ${show(nginx)} | ${ratio}, ${cpu}`,
        );
      }
    }
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
  }
}

function show({ mbPerSec, cpuPerGb }: Figure): string {
  return `${mbPerSec.toFixed(0)}, ${cpuPerGb.toFixed(2)}`;
}

/** One worker, sendfile, the cipher that the origin prefers: a fair and good configuration. */
async function startNginx(scheme: "http" | "https", folder: string, root: string): Promise<Server> {
  const port = await freePort();
  const tls =
    scheme === "http"
      ? ""
      : `ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem; ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;`;
  const conf = join(folder, `nginx-${scheme}.conf`);
  writeFileSync(
    conf,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.err;
events { worker_connections 2000; }
http { access_log ${folder}/nginx.log; sendfile on; tcp_nopush on; keepalive_requests 1000000;
server { listen 127.0.0.1:${port}${scheme === "https" ? " ssl" : ""}; ${tls} root ${root}; } }
`,
  );
  const child = spawn("nginx", ["-c", conf, "-e", join(folder, "nginx.err")], { stdio: "ignore" });
  pin(child);
  const url = `${scheme}://127.0.0.1:${port}/${IMAGE}`;
  while (spawnSync("curl", ["-ksI", url]).status !== 0);
  return { name: "nginx", pid: child.pid ?? 0, url, stop: () => stop(child) };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
