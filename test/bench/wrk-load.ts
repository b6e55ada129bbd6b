import { type ChildProcess, execFileSync, fork, spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packImage } from "@ckmesh/store";

/** A server under load, pinned to core 0. */
export interface Server {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  stop(): Promise<void>;
}

export interface Figure {
  readonly mbPerSec: number;
  /** Seconds of user and system time per GB sent. */
  readonly cpuPerGb: number;
}

const NAME = "bench";
/** The pack that the servers serve. */
export const IMAGE = `${NAME}_1.ckm`;

/** A pack of noise: what is served is what a real pack looks like to a server. */
export async function makeImage(folder: string, root: string, mib: number): Promise<number> {
  const disk = join(folder, "disk.raw");
  const chunk = Buffer.alloc(1024 * 1024);
  writeFileSync(disk, "");
  for (let i = 0; i < mib; i += 1) writeFileSync(disk, randomFillSync(chunk), { flag: "a" });
  const { packBytes } = await packImage({ diskPath: disk, name: NAME, outDir: root, level: 1 });
  rmSync(disk);
  return packBytes;
}

export function makeCertificate(folder: string): void {
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

export async function startOriginServer(
  scheme: "http" | "https",
  folder: string,
  root: string,
  settings: Readonly<Record<string, unknown>> = {},
): Promise<Server & { readonly child: ChildProcess }> {
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
    ...settings,
  };
  const child = fork(new URL("./origin-bench-server.ts", import.meta.url), [JSON.stringify(flags)], {
    // The built packages, as in production: no condition for sources.
    execArgv: ["--import", "tsx"],
  });
  pin(child);
  const [message]: unknown[] = await once(child, "message");
  const [url = ""] = urlsOf(message);
  for (;;) {
    const answer = spawnSync("curl", ["-ksI", `${url}/${IMAGE}`], { encoding: "utf8" });
    if (answer.stdout.includes(" 200")) break;
  }
  return { name: "origin", child, pid: child.pid ?? 0, url: `${url}/${IMAGE}`, stop: () => stop(child) };
}

/** What a child says when it is ready. */
export function urlsOf(message: unknown): readonly string[] {
  if (typeof message === "object" && message !== null && "urls" in message && Array.isArray(message.urls)) {
    return message.urls.map(String);
  }
  throw new Error("the server did not say where it listens");
}

export function pin(child: ChildProcess): void {
  execFileSync("taskset", ["-a", "-p", "-c", "0", String(child.pid)], { stdio: "ignore" });
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  await exited;
}

export interface Load {
  readonly server: Server;
  /** For the script of wrk. */
  readonly folder: string;
  /** Bytes of each range, which begin anywhere; undefined = the whole file. */
  readonly range: number | undefined;
  /** Of the file. */
  readonly size: number;
  readonly connections: number;
  readonly seconds: number;
}

/** wrk on core 1. */
export function measure({ server, folder, range, size, connections, seconds: duration }: Load): Figure {
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
    `-d${duration}s`,
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

export function missingTools(tools: readonly string[]): readonly string[] {
  return tools.filter((tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0);
}

/** User and system time of a process with its threads. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
