import type { ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Fields } from "@ckmesh/core";
import { type Lab, type LabOptions, withLab } from "./lab.js";

const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));
const COMPLETE = new Set(["verified", "staged", "active"]);
const MIB = 1024 * 1024;

export interface BranchOptions extends LabOptions {
  /** Size of the disk, which does not compress. */
  readonly mib: number;
  /** Default true. */
  readonly hasTracker?: boolean;
  /** Give up after this many seconds. */
  readonly limitSeconds?: number;
}

/** A client of a run. */
export interface BranchClient {
  readonly host: string;
  readonly store: string;
  child: ChildProcess;
  startedAt: number;
  /** Unix ms at which each version was verified. */
  readonly verifiedAt: Map<number, number>;
  /** The latest bytes by source of each version. */
  readonly bytes: Map<number, Fields>;
  errors: string[];
}

/** What one copy costs, and what the run took. */
export interface BranchResult {
  /** Bytes at the WAN shaper, headers included, over pack and index bytes; worst site. */
  readonly copies: number;
  /** Slowest client, process start to verified, over size / WAN rate. */
  readonly last: number;
  readonly seconds: number;
  readonly completed: number;
}

/** One origin, a tracker and the clients of a lab as real processes; everything on a memory file system. */
export class Branch {
  readonly lab: Lab;
  readonly options: BranchOptions;
  readonly clients: BranchClient[] = [];
  readonly folder: string;
  readonly root: string;
  tracker: ChildProcess | undefined;

  constructor(lab: Lab, options: BranchOptions, folder: string) {
    this.lab = lab;
    this.options = options;
    this.folder = folder;
    this.root = join(folder, "images");
    mkdirSync(this.root);
  }

  /** Packs a random disk as the next version; `changed` bytes of it are new. */
  pack(name: string, seed: number, changed?: number): void {
    const disk = join(this.folder, `${name}.img`);
    const bytes = changed === undefined ? Buffer.alloc(this.options.mib * MIB) : readFileSync(disk);
    fillRandom(bytes.subarray(0, changed ?? bytes.byteLength), seed);
    writeFileSync(disk, bytes);
    const previous = changed === undefined ? [] : ["--previous", this.root];
    execFileSync(process.execPath, [
      MAIN,
      "pack",
      disk,
      "--name",
      name,
      "--out",
      this.root,
      "--quiet",
      ...previous,
    ]);
  }

  /** Bytes of pack and index of a version. */
  sizeOf(name: string, version: number): number {
    return [".ckm", ".ckm.index"].reduce(
      (sum, end) => sum + readFileSync(join(this.root, `${name}_${version}${end}`)).byteLength,
      0,
    );
  }

  /** Starts the origin, which publishes what was packed, and the tracker. */
  async startServers(): Promise<void> {
    const [cert, key] = [join(this.folder, "cert.pem"), join(this.folder, "key.pem")];
    const subject = ["-subj", "/CN=dc", "-addext", `subjectAltName=IP:${this.lab.address("dc")}`];
    execFileSync(
      "openssl",
      [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        key,
        "-out",
        cert,
        ...subject,
      ],
      { stdio: "ignore" },
    );
    const tls = ["--tls-cert", cert, "--tls-key", key];
    const at = this.lab.address("dc");
    await this.#ready(
      "dc",
      [
        "origin",
        "--root",
        this.root,
        "--state",
        join(this.folder, "origin"),
        "--tls-listen",
        `${at}:8443`,
        ...tls,
        "--anonymous",
        ...this.#fleetKey(),
      ],
      "published",
    );
    if (this.options.hasTracker !== false) await this.startTracker();
  }

  async startTracker(): Promise<void> {
    const tls = ["--tls-cert", join(this.folder, "cert.pem"), "--tls-key", join(this.folder, "key.pem")];
    const listen = ["--tls-listen", `${this.lab.address("dc")}:7660`];
    this.tracker = await this.#ready("dc", [
      "tracker",
      ...listen,
      ...tls,
      "--state",
      join(this.folder, "tracker"),
      ...this.#fleetKey(),
    ]);
  }

  /** Starts a client; it fetches at once, then seeds until the lab ends. */
  startClient(host: string, image: string, extra: readonly string[] = []): BranchClient {
    const dc = this.lab.address("dc");
    const store = join(this.folder, host);
    const tracker = this.options.hasTracker === false ? [] : ["--tracker", `wss://${dc}:7660`];
    const servers = [
      "--origin",
      `https://${dc}:8443/MEDVImages`,
      ...tracker,
      "--ca",
      join(this.folder, "cert.pem"),
    ];
    const how = ["--once", "--seed-for", "600", "--materialize", "off", "--wan-budget", "off", "--json"];
    const args = ["client", "run", "--store", store, "--image", image, ...servers, ...how, ...extra];
    const known = this.clients.find((c) => c.host === host);
    const client: BranchClient = known ?? {
      host,
      store,
      child: this.#spawn(host, args),
      startedAt: Date.now(),
      verifiedAt: new Map(),
      bytes: new Map(),
      errors: [],
    };
    if (known === undefined) this.clients.push(client);
    else {
      known.child = this.#spawn(host, args);
      known.startedAt = Date.now();
    }
    this.#watch(client);
    return client;
  }

  /** Waits until every given client has the version; false when the time is over. */
  async complete(clients: readonly BranchClient[], version: number): Promise<boolean> {
    const end = Date.now() + (this.options.limitSeconds ?? 150) * 1000;
    while (Date.now() < end) {
      if (clients.every((c) => c.verifiedAt.has(version))) return true;
      await sleep(20);
    }
    return false;
  }

  /** Share (0 to 1) of a version that the clients have together. */
  progress(version: number, needed: number): number {
    const done = this.clients.map((c) => {
      const bytes = c.bytes.get(version);
      return bytes === undefined
        ? 0
        : SOURCES.reduce((sum, s) => sum + bytes.number(s, 0, Number.MAX_SAFE_INTEGER), 0);
    });
    return done.reduce((a, b) => a + b, 0) / (needed * Math.max(1, this.clients.length));
  }

  /** True if every store holds the pair byte for byte. */
  sameFiles(name: string, version: number): boolean {
    return this.clients.every(({ store }) =>
      [".ckm", ".ckm.index"].every((end) => {
        const file = `${name}_${version}${end}`;
        return readFileSync(join(this.root, file)).equals(readFileSync(join(store, "images", name, file)));
      }),
    );
  }

  #fleetKey(): string[] {
    const file = join(this.folder, "fleet.key");
    if (!readdirSync(this.folder).includes("fleet.key"))
      execFileSync(process.execPath, [MAIN, "keygen", "--fleet", file, "--quiet"]);
    return ["--fleet-key-file", file];
  }

  #spawn(host: string, args: readonly string[]): ChildProcess {
    return this.lab.spawn(host, [process.execPath, MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  }

  /** Starts a server and waits for an event of it. */
  async #ready(host: string, args: readonly string[], event = "ready"): Promise<ChildProcess> {
    const child = this.#spawn(host, [...args, "--json"]);
    child.stderr?.resume();
    for await (const line of lines(child)) {
      if (line.has("event") && line.string("event", 100) === event) {
        child.stdout?.resume();
        return child;
      }
    }
    throw new Error(`${args[0]} ended before it was ${event}`);
  }

  #watch(client: BranchClient): void {
    client.child.stderr?.resume();
    const watch = async (): Promise<void> => {
      for await (const line of lines(client.child)) {
        if (line.has("message")) client.errors.push(line.string("message", 10_000));
        if (!line.has("event") || line.string("event", 100) !== "state") continue;
        const version = line.int("version", 1, Number.MAX_SAFE_INTEGER);
        client.bytes.set(version, line.map("bytes"));
        if (COMPLETE.has(line.string("state", 100)) && !client.verifiedAt.has(version)) {
          client.verifiedAt.set(version, Date.now());
        }
      }
    };
    watch().catch((err: unknown) => client.errors.push(String(err)));
  }
}

const SOURCES = ["previous", "peers", "origin"] as const;

/** Builds a lab with servers and runs `use` in it; nothing stays behind. */
export async function withBranch<T>(options: BranchOptions, use: (branch: Branch) => Promise<T>): Promise<T> {
  const memory = readdirSync("/dev").includes("shm") ? "/dev/shm" : tmpdir();
  const folder = mkdtempSync(join(memory, "ckmesh-lab-"));
  try {
    return await withLab(options, async (lab) => {
      const branch = new Branch(lab, options, folder);
      return await use(branch);
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Starts all clients of all sites in the same second and measures until they have version 1. */
export async function coldStart(
  branch: Branch,
  image: string,
  during?: () => Promise<void>,
): Promise<BranchResult> {
  const { lab, options } = branch;
  const before = await lab.stats();
  const begin = Date.now();
  for (let site = 1; site <= (options.sites ?? 1); site++) {
    for (let n = 1; n <= (options.clients ?? 4); n++) branch.startClient(`s${site}c${n}`, image);
  }
  await during?.();
  await branch.complete(branch.clients, 1);
  const { wan } = await lab.stats(before);
  const size = branch.sizeOf(image, 1);
  const times = branch.clients.map((c) => (c.verifiedAt.get(1) ?? Number.NaN) - begin);
  return {
    copies: Math.max(...[...wan.values()].map((link) => link.down)) / size,
    last: Math.max(...times) / ((size * 8) / ((options.wanMbit ?? 50) * 1000)),
    seconds: Math.max(...times) / 1000,
    completed: branch.clients.filter((c) => c.verifiedAt.has(1)).length,
  };
}

async function* lines(child: ChildProcess): AsyncGenerator<Fields> {
  if (child.stdout === null) return;
  for await (const line of createInterface({ input: child.stdout }))
    yield new Fields(JSON.parse(line), "line");
}

/** Bytes that do not compress, the same for a seed (xorshift32). */
function fillRandom(bytes: Uint8Array, seed: number): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  let x = Math.imul(seed, 2_654_435_761) | 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
}
