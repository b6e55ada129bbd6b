/* oxlint-disable eslint/no-console -- a bench speaks */
import { type ChildProcess, execFileSync, fork, spawn, spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { packImage } from "@ckmesh/store";

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

interface Server {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  stop(): Promise<void>;
}

interface Figure {
  readonly mbPerSec: number;
  readonly cpuPerGb: number;
}

const NAME = "bench";
const IMAGE = `${NAME}_1.ckm`;
/** Bytes of a range; undefined = the whole file. */
const RANGES = [64 * 1024, 1024 * 1024, 8 * 1024 * 1024, undefined];

const missing = ["nginx", "wrk", "taskset", "openssl"].filter(
  (tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0,
);
if (missing.length > 0) console.log(`skipped: ${missing.join(", ")} not installed`);
else await main();

async function main(): Promise<void> {
  const base = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const folder = mkdtempSync(join(base, "ckmesh-bench-"));
  try {
    const root = join(folder, "images");
    await mkdir(root);
    const size = await makeImage(folder, root);
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
    for (const server of servers) measure(server, folder, 64 * 1024, size, 16);
    for (const range of RANGES) {
      for (const connections of args.connections.split(",").map(Number)) {
        const [origin, nginx] = servers.map((server) => measure(server, folder, range, size, connections));
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

/** A pack of noise: what is served is what a real pack looks like to a server. */
async function makeImage(folder: string, root: string): Promise<number> {
  const disk = join(folder, "disk.raw");
  const chunk = Buffer.alloc(1024 * 1024);
  writeFileSync(disk, "");
  for (let i = 0; i < Number(args.mib); i += 1) writeFileSync(disk, randomFillSync(chunk), { flag: "a" });
  const { packBytes } = await packImage({ diskPath: disk, name: NAME, outDir: root, level: 1 });
  rmSync(disk);
  return packBytes;
}

function makeCertificate(folder: string): void {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  execFileSync(
    "openssl",
    [
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      key,
      "-out",
      cert,
      "-subj",
      "/CN=localhost",
      "-days",
      "2",
    ],
    { stdio: "ignore" },
  );
}

async function startOriginServer(scheme: "http" | "https", folder: string, root: string): Promise<Server> {
  const listen =
    scheme === "http"
      ? { listen: "127.0.0.1:0" }
      : { tlsListen: "127.0.0.1:0", tlsCert: join(folder, "cert.pem"), tlsKey: join(folder, "key.pem") };
  const flags = {
    "virtualDirectory.physicalPath": root,
    state: join(folder, "state"),
    "authentication.anonymous.enabled": true,
    "publish.settleMs": 100,
    ...listen,
  };
  const child = fork(new URL("./origin-bench-server.ts", import.meta.url), [JSON.stringify(flags)], {
    // The built packages, as in production: no condition for sources.
    execArgv: ["--import", "tsx"],
  });
  pin(child);
  const [message]: unknown[] = await once(child, "message");
  const url = firstUrl(message);
  for (;;) {
    const answer = spawnSync("curl", ["-ksI", `${url}/${IMAGE}`], { encoding: "utf8" });
    if (answer.stdout.includes(" 200")) break;
  }
  return { name: "origin", pid: child.pid ?? 0, url: `${url}/${IMAGE}`, stop: () => stop(child) };
}

function firstUrl(message: unknown): string {
  if (typeof message === "object" && message !== null && "urls" in message && Array.isArray(message.urls)) {
    return String(message.urls[0]);
  }
  throw new Error("the origin did not say where it listens");
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

function pin(child: ChildProcess): void {
  execFileSync("taskset", ["-a", "-p", "-c", "0", String(child.pid)], { stdio: "ignore" });
}

async function stop(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

function measure(
  server: Server,
  folder: string,
  range: number | undefined,
  size: number,
  connections: number,
): Figure {
  const script = join(folder, "wrk.lua");
  const slots = range === undefined ? 0 : Math.floor(size / range);
  writeFileSync(
    script,
    range === undefined
      ? ""
      : `math.randomseed(7)\nrequest = function()\n local a = math.random(0, ${slots - 1}) * ${range}\n return wrk.format('GET', nil, {['Range'] = string.format('bytes=%.0f-%.0f', a, a + ${range - 1})})\nend\n`,
  );
  const before = cpuSeconds(server.pid);
  const command = [
    "-c",
    "1",
    "wrk",
    "-t1",
    `-c${connections}`,
    `-d${args.seconds}s`,
    "--timeout",
    "20s",
    "-s",
    script,
    server.url,
  ];
  const { stdout } = spawnSync("taskset", command, { encoding: "utf8" });
  const cpu = cpuSeconds(server.pid) - before;
  const m = /requests in ([\d.]+)(m?s), ([\d.]+)([KMGT]?B) read/.exec(stdout);
  if (m === null || /Non-2xx/.test(stdout)) throw new Error(`wrk against ${server.name}: ${stdout}`);
  const unit = { B: 1, KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30, TB: 2 ** 40 }[m[4] ?? ""] ?? Number.NaN;
  const bytes = Number(m[3]) * unit;
  const seconds = Number(m[1]) / (m[2] === "ms" ? 1000 : 1);
  return { mbPerSec: bytes / seconds / 1e6, cpuPerGb: cpu / (bytes / 1e9) };
}

/** User and system time of a process with its threads. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
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
