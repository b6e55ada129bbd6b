import { type ChildProcess, execFile, execFileSync, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { Fields } from "@ckmesh/core";

const LAB = fileURLToPath(new URL("lab.py", import.meta.url));
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

export interface LabOptions {
  /** Branch sites; default 1. */
  readonly sites?: number;
  /** Clients of each site; default 4. */
  readonly clients?: number;
  /** Mbit/s to each site; default 50. */
  readonly wanMbit?: number;
  /** Mbit/s from each site; default as to it. */
  readonly wanUpMbit?: number;
  /** Mbit/s of each client's port; 0 = unlimited; default 1000. */
  readonly lanMbit?: number;
  /** One-way WAN delay, ms; default none. */
  readonly delayMs?: number;
}

/** Bytes on the wire, seen from the site or client. */
interface LinkBytes {
  readonly down: number;
  readonly up: number;
}

interface LabStats {
  /** Unix seconds, or seconds since the earlier snapshot. */
  readonly seconds: number;
  /** By site: `site1`. */
  readonly wan: ReadonlyMap<string, LinkBytes>;
  /** By client: `s1c1`. */
  readonly lan: ReadonlyMap<string, LinkBytes>;
}

interface ExecOptions {
  readonly timeoutMs?: number;
  readonly env?: NodeJS.ProcessEnv;
}

/** A datacenter and branch sites; hosts are `dc`, `r1`, `s1c1` …; see README.md. */
export interface Lab {
  readonly prefix: string;
  /** IPv4 address of a host. */
  address(host: string): string;
  /** Runs a command in a host; rejects when it fails. */
  exec(host: string, command: readonly string[], options?: ExecOptions): Promise<string>;
  /** Starts a command in a host: a signal to the child reaches it. What still runs is ended with the lab. */
  spawn(
    host: string,
    command: readonly string[],
    options?: { env?: NodeJS.ProcessEnv; stdio?: StdioOptions },
  ): ChildProcess;
  /** Bytes over each link so far, or since an earlier snapshot. */
  stats(since?: LabStats): Promise<LabStats>;
  /** Changes the rate of a site's WAN, Mbit/s. */
  rate(site: number, down: number, up?: number): Promise<void>;
  /** Cuts or restores a site's WAN. */
  wan(site: number, state: "up" | "down"): Promise<void>;
  /** Pulls or plugs a client's LAN cable. */
  cable(host: string, state: "plug" | "unplug"): Promise<void>;
}

let reason: { readonly text: string | undefined } | undefined;

/** Why there can be no lab on this machine; undefined when there can. Tried out once for each process. */
export function labAvailable(): string | undefined {
  reason ??= { text: findReason() };
  return reason.text;
}

/**
 * Builds a lab, runs `use` in it and takes it down again, whatever happens.
 * @param signal ends it early: `use` is left alone then, and what it waits for ends with the lab
 */
export async function withLab<T>(
  options: LabOptions,
  use: (lab: Lab) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const prefix = nextPrefix();
  await labCommand(prefix, ["up", "--quiet", ...upArguments(options)]);
  const children: ChildProcess[] = [];
  const ended = new AbortController();
  try {
    const used = use(makeLab(prefix, children));
    return await (signal === undefined ? used : Promise.race([used, aborted(signal, ended.signal)]));
  } finally {
    ended.abort();
    // Children first: `down` counts on nobody reaping them.
    await Promise.all(children.map(endChild));
    await labCommand(prefix, ["down"]);
  }
}

/** Rejects when `signal` says so; forgotten by it when `ended` does. */
function aborted(signal: AbortSignal, ended: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true, signal: ended });
  });
}

function makeLab(prefix: string, children: ChildProcess[]): Lab {
  return {
    prefix,
    address: addressOf,
    exec: (host, command, options = {}) => run("ip", inHost(prefix, host, command), options),
    spawn(host, command, options = {}) {
      const child = spawn("ip", inHost(prefix, host, command), {
        stdio: options.stdio ?? "ignore",
        env: options.env ?? process.env,
      });
      children.push(child);
      return child;
    },
    async stats(since) {
      const now = parseStats(JSON.parse(await labCommand(prefix, ["stats", "--json"])));
      return since === undefined ? now : difference(now, since);
    },
    async rate(site, down, up = down) {
      await labCommand(prefix, ["rate", String(site), String(down), String(up)]);
    },
    async wan(site, state) {
      await labCommand(prefix, ["wan", String(site), state]);
    },
    async cable(host, state) {
      await labCommand(prefix, [state, host]);
    },
  };
}

function addressOf(host: string): string {
  if (host === "dc") return "10.77.0.1";
  const m = /^(?:r(\d+)|s(\d+)c(\d+))$/.exec(host);
  if (m === null) throw new Error(`${host} is no host of a lab: dc, r1, s1c1`);
  return m[1] === undefined ? `10.77.${m[2]}.${10 + Number(m[3])}` : `10.77.${m[1]}.1`;
}

function inHost(prefix: string, host: string, command: readonly string[]): string[] {
  return ["netns", "exec", `${prefix}-${host}`, ...command];
}

function upArguments(options: LabOptions): string[] {
  const flags: readonly (readonly [string, number | undefined])[] = [
    ["--sites", options.sites],
    ["--clients", options.clients],
    ["--wan", options.wanMbit],
    ["--wan-up", options.wanUpMbit],
    ["--lan", options.lanMbit],
    ["--delay-ms", options.delayMs],
  ];
  return flags.flatMap(([flag, value]) => (value === undefined ? [] : [flag, String(value)]));
}

let labs = 0;

/** Labs of processes that run side by side do not meet. */
function nextPrefix(): string {
  labs += 1;
  return `ck${process.pid.toString(36)}x${labs.toString(36)}`;
}

function labCommand(prefix: string, args: readonly string[]): Promise<string> {
  return run("python3", [LAB, "--prefix", prefix, ...args], { timeoutMs: 60_000 });
}

function run(file: string, args: readonly string[], options: ExecOptions): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      file,
      args,
      { timeout: options.timeoutMs ?? 0, env: options.env ?? process.env, maxBuffer: MAX_OUTPUT_BYTES },
      (err, stdout, stderr) => {
        if (err === null) resolve(stdout);
        else reject(new Error(`${file} ${args.join(" ")}: ${stderr.trim() || err.message}`, { cause: err }));
      },
    );
  });
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await gone;
  clearTimeout(timer);
}

const INSTALL = "it comes with: sudo bash scripts/install-test-packages";

function findReason(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are there on Linux only";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  for (const [command, args, what] of [
    ["ip", ["-V"], `ip is missing; ${INSTALL}`],
    ["tc", ["-V"], `tc is missing; ${INSTALL}`],
    [
      "python3",
      ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"],
      `Python 3.9 or later is missing; ${INSTALL}`,
    ],
  ] as const) {
    if (!succeeds(command, args)) return what;
  }
  const probe = `ckprobe${process.pid.toString(36)}`;
  if (!succeeds("ip", ["netns", "add", probe])) return "this machine allows no network namespaces";
  const hasShaper =
    succeeds("ip", ["-n", probe, "link", "add", "a0", "type", "veth", "peer", "name", "a1"]) &&
    succeeds("tc", [
      "-n",
      probe,
      "qdisc",
      "add",
      "dev",
      "a0",
      "root",
      "tbf",
      "rate",
      "1mbit",
      "burst",
      "8000",
      "limit",
      "30000",
    ]);
  succeeds("ip", ["netns", "del", probe]);
  return hasShaper ? undefined : "this kernel has no veth or no tbf shaper";
}

function succeeds(file: string, args: readonly string[]): boolean {
  try {
    execFileSync(file, args, { stdio: "ignore", timeout: 10_000 });
    return true;
  } catch {
    // Missing or refused: that is the answer.
    return false;
  }
}

function parseStats(value: unknown): LabStats {
  const fields = new Fields(value, "stats");
  return {
    seconds: fields.number("t", 0, Number.MAX_SAFE_INTEGER),
    wan: parseLinks(fields.map("wan")),
    lan: parseLinks(fields.map("lan")),
  };
}

function parseLinks(fields: Fields): ReadonlyMap<string, LinkBytes> {
  return new Map(
    fields.keys().map((name) => {
      const link = fields.map(name);
      const count = (key: string): number => link.int(key, 0, Number.MAX_SAFE_INTEGER);
      return [name, { down: count("down"), up: count("up") }];
    }),
  );
}

function difference(now: LabStats, before: LabStats): LabStats {
  return {
    seconds: now.seconds - before.seconds,
    wan: minus(now.wan, before.wan),
    lan: minus(now.lan, before.lan),
  };
}

function minus(
  now: ReadonlyMap<string, LinkBytes>,
  before: ReadonlyMap<string, LinkBytes>,
): ReadonlyMap<string, LinkBytes> {
  const links = new Map<string, LinkBytes>();
  for (const [name, { down, up }] of now) {
    const old = before.get(name) ?? { down: 0, up: 0 };
    links.set(name, { down: down - old.down, up: up - old.up });
  }
  return links;
}
