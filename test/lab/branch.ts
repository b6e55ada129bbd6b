import { type ChildProcess, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Fields } from "@ckmesh/core";
import { WARM_UP_MS } from "@ckmesh/tracker";
import { BranchClient } from "./branch-client.js";
import { type Lab, type LabOptions, withLab } from "./lab.js";

const MAIN = fileURLToPath(new URL("../../packages/cli/bundle/bin/ckmesh.js", import.meta.url));
const MIB = 1024 * 1024;
/** What a changed disk changes: frames of this size, on this grid. */
const BLOCK_BYTES = 64 * 1024;
const SECTOR_BYTES = 4096;
const LOOK_MS = 20;

export interface BranchOptions extends LabOptions {
  /** Size of the disk, which does not compress. */
  readonly mib: number;
  /** Default true. */
  readonly hasTracker?: boolean;
  /** How clients use the WAN; default: without any limit. */
  readonly wanFlags?: readonly string[];
  /** Give up after this many seconds. */
  readonly limitSeconds?: number;
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
  #trackerAt = 0;
  origin: ChildProcess | undefined;
  /** By version, Unix ms: when the origin said that it is published. */
  readonly publishedAt = new Map<number, number>();

  constructor(lab: Lab, options: BranchOptions, folder: string) {
    this.lab = lab;
    this.options = options;
    this.folder = folder;
    this.root = join(folder, "images");
    mkdirSync(this.root);
  }

  /**
   * Packs a random disk as the next version; with `changed` as many bytes of it are new, in 64-KiB blocks anywhere,
   * or `edited`: only the first eighth of each of their sectors is, so that a delta brings them.
   */
  pack(name: string, seed: number, changed?: number, how: "renewed" | "edited" = "renewed"): void {
    const disk = join(this.folder, `${name}.img`);
    const bytes = changed === undefined ? Buffer.alloc(this.options.mib * MIB) : readFileSync(disk);
    if (changed === undefined) fillRandom(bytes, seed);
    else changeBlocks(bytes, changed / BLOCK_BYTES, seed, how === "edited" ? SECTOR_BYTES / 8 : SECTOR_BYTES);
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
    if (this.options.hasTracker !== false) await this.startTracker();
    await this.startOrigin();
  }

  /** Also again after it was killed. */
  async startOrigin(): Promise<void> {
    const state = ["--root", this.root, "--state", join(this.folder, "origin"), "--anonymous"];
    const listen = ["--tls-listen", `${this.lab.address("dc")}:8443`];
    const tracker =
      this.options.hasTracker === false
        ? []
        : ["--tracker", this.#trackerUrl, "--tracker-ca", join(this.folder, "cert.pem")];
    this.origin = await this.#ready(
      "dc",
      ["origin", ...state, ...listen, ...this.#tls(), ...tracker, ...this.#fleetKey()],
      // A second start finds in its state what it published.
      this.publishedAt.size === 0 ? "published" : "ready",
    );
  }

  async startTracker(): Promise<void> {
    const listen = ["--tls-listen", `${this.lab.address("dc")}:7660`, ...this.#tls()];
    const state = ["--state", join(this.folder, "tracker"), ...this.#fleetKey()];
    this.tracker = await this.#ready("dc", ["tracker", ...listen, ...state]);
    this.#trackerAt = Date.now();
  }

  /** Waits until the tracker's lists count as complete, as those of one that runs all the time do. */
  async trackerIsWarm(): Promise<void> {
    if (this.tracker !== undefined) await sleep(Math.max(0, this.#trackerAt + WARM_UP_MS - Date.now()));
  }

  /**
   * Starts a client; it fetches at once, then seeds until the lab ends. Again on its store when it ran before.
   * @param node options for Node itself
   */
  startClient(
    host: string,
    image: string,
    extra: readonly string[] = [],
    node: readonly string[] = [],
  ): BranchClient {
    const dc = this.lab.address("dc");
    const store = join(this.folder, host);
    const tracker = this.options.hasTracker === false ? [] : ["--tracker", this.#trackerUrl];
    const servers = [
      "--origin",
      `https://${dc}:8443/MEDVImages`,
      ...tracker,
      "--ca",
      join(this.folder, "cert.pem"),
    ];
    const how = ["--once", "--seed-for", "600", "--materialize", "off", "--json"];
    const wan = this.options.wanFlags ?? ["--wan-budget", "off"];
    const args = ["client", "run", "--store", store, "--image", image, ...servers, ...how, ...wan, ...extra];
    let client = this.clients.find((c) => c.host === host);
    if (client === undefined) {
      client = new BranchClient(host, store);
      this.clients.push(client);
    }
    const startedAt = Date.now();
    client.follow(this.#spawn(host, args, node), startedAt);
    return client;
  }

  /** How many peers a running client has for a version. */
  async peers(client: BranchClient, version: number): Promise<number> {
    const args = [MAIN, "client", "status", "--store", client.store, "--json"];
    const status = new Fields(
      JSON.parse(await this.lab.exec(client.host, [process.execPath, ...args])),
      "status",
    );
    const versions = status
      .list("images", 1000)
      .flatMap((image) => new Fields(image, "image").list("versions", 1000))
      .map((v) => new Fields(v, "version"));
    return versions.find((v) => v.int("version", 1, MAX_VERSION) === version)?.int("peers", 0, 1000) ?? 0;
  }

  /** Waits until every given client has the version; false when the time is over. */
  async complete(clients: readonly BranchClient[], version: number): Promise<boolean> {
    return await this.until(() => clients.every((c) => c.isComplete(version)));
  }

  /** Waits for something that the clients' lines show; false when the time is over. */
  async until(isReached: () => boolean): Promise<boolean> {
    const end = Date.now() + (this.options.limitSeconds ?? 150) * 1000;
    while (Date.now() < end) {
      if (isReached()) return true;
      await sleep(LOOK_MS);
    }
    return false;
  }

  /** Share (0 to 1) of a version that the clients have together. */
  progress(version: number): number {
    const shares = this.clients.map((c) => {
      const counts = c.counts.get(version);
      return counts === undefined ? 0 : counts.held / counts.needed;
    });
    return shares.reduce((a, b) => a + b, 0) / Math.max(1, shares.length);
  }

  /** The client that fetched most of a version from the origin. */
  fetcher(version: number): BranchClient {
    const fetched = (c: BranchClient): number => c.counts.get(version)?.origin ?? 0;
    const [first] = this.clients.toSorted((a, b) => fetched(b) - fetched(a));
    if (first === undefined) throw new Error("unreachable: a branch without clients");
    return first;
  }

  /** True if every store (of all clients, or those given) holds the pair byte for byte. */
  sameFiles(name: string, version: number, clients: readonly BranchClient[] = this.clients): boolean {
    return clients.every(({ store }) =>
      [".ckm", ".ckm.index"].every((end) => {
        const file = `${name}_${version}${end}`;
        return readFileSync(join(this.root, file)).equals(readFileSync(join(store, "images", name, file)));
      }),
    );
  }

  get #trackerUrl(): string {
    return `wss://${this.lab.address("dc")}:7660`;
  }

  #tls(): string[] {
    return ["--tls-cert", join(this.folder, "cert.pem"), "--tls-key", join(this.folder, "key.pem")];
  }

  #fleetKey(): string[] {
    const file = join(this.folder, "fleet.key");
    if (!existsSync(file)) execFileSync(process.execPath, [MAIN, "keygen", "--fleet", file, "--quiet"]);
    return ["--fleet-key-file", file];
  }

  #spawn(host: string, args: readonly string[], node: readonly string[] = []): ChildProcess {
    return this.lab.spawn(host, [process.execPath, ...node, MAIN, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  /** Starts a server and waits for an event of it. */
  async #ready(host: string, args: readonly string[], event = "ready"): Promise<ChildProcess> {
    const child = this.#spawn(host, [...args, "--json"]);
    child.stderr?.resume();
    const { stdout } = child;
    if (stdout === null) throw new Error("unreachable: stdout is no pipe");
    return await new Promise((resolve, reject) => {
      createInterface({ input: stdout })
        .on("line", (text) => {
          const line = new Fields(JSON.parse(text), "line");
          const found = line.has("event") ? line.string("event", 100) : "";
          if (found === "published") this.publishedAt.set(line.int("version", 1, MAX_VERSION), Date.now());
          if (found === event) resolve(child);
        })
        .once("close", () => reject(new Error(`${args[0]} ended before it was ${event}`)));
    });
  }
}

const MAX_VERSION = 1_000_000;

/** Builds a lab with servers and runs `use` in it; nothing stays behind. */
export async function withBranch<T>(
  options: BranchOptions,
  use: (branch: Branch) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const memory = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
  const folder = mkdtempSync(join(memory, "ckmesh-lab-"));
  try {
    return await withLab(
      options,
      async (lab) => {
        const branch = new Branch(lab, options, folder);
        return await use(branch);
      },
      signal,
    );
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
    completed: branch.clients.filter((c) => c.isComplete(1)).length,
  };
}

/** Bytes that do not compress, the same for a seed. */
function fillRandom(bytes: Uint8Array, seed: number): void {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  const next = xorshift32(seed);
  for (let i = 0; i < words.length; i++) words[i] = next();
}

/** New content for `count` blocks of a disk, chosen by the seed: for the first `share` bytes of each of their sectors. */
function changeBlocks(bytes: Uint8Array, count: number, seed: number, share: number): void {
  const next = xorshift32(seed);
  const blocks = Array.from({ length: bytes.byteLength / BLOCK_BYTES }, (_, at) => ({ at, key: next() }));
  for (const { at, key } of blocks.toSorted((a, b) => a.key - b.key).slice(0, count))
    for (let i = at * BLOCK_BYTES; i < (at + 1) * BLOCK_BYTES; i += SECTOR_BYTES)
      fillRandom(bytes.subarray(i, i + share), key ^ i);
}

function xorshift32(seed: number): () => number {
  let x = Math.imul(seed, 2_654_435_761) | 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}
