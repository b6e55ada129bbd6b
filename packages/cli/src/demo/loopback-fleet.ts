import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError, Fields } from "@ckmesh/core";
import { writeLoopbackCertificate } from "./certificate.js";
import { CkmeshProcess } from "./ckmesh-process.js";

const SOURCES = ["previous", "delta", "peers", "origin"] as const;
type Source = (typeof SOURCES)[number];

/** A client of the demonstration and where its bytes of one version came from. */
export interface ClientResult {
  readonly client: string;
  readonly site: string;
  /** Bytes of all rows of the version. */
  readonly neededBytes: number;
  readonly bytes: Readonly<Record<Source, number>>;
  /** What came over the WAN and was not used. */
  readonly wastedOriginBytes: number;
}

interface FleetClient {
  readonly name: string;
  readonly site: string;
  readonly store: string;
  readonly args: readonly string[];
  process: CkmeshProcess;
}

/** How far all clients are together. */
export interface FleetProgress {
  readonly bytesDone: number;
  readonly bytesTotal: number;
  readonly note: string;
}

const USER = "branch";
const ANY_PORT = "127.0.0.1:0";
const CERT = "loopback.pem";
/** States in which a client has every byte. */
const COMPLETE = new Set(["verified", "staged", "active"]);

/** Origin, tracker and clients as real processes on loopback, TLS with a throw-away certificate. */
export class LoopbackFleet {
  readonly root: string;
  readonly clients: FleetClient[] = [];
  readonly #folder: string;
  readonly #signal: AbortSignal;
  readonly #processes: CkmeshProcess[] = [];
  #tracker: CkmeshProcess | undefined;
  #trackerArgs: readonly string[] = [];
  #origin: CkmeshProcess | undefined;
  #originUrl = "";
  #trackerUrl = "";

  constructor(folder: string, signal: AbortSignal) {
    this.#folder = folder;
    this.#signal = signal;
    this.root = join(folder, "images");
  }

  /** Keys, an account, then tracker and origin. Returns the origin's URL. */
  async startServers(): Promise<string> {
    await mkdir(this.root);
    const { cert, key } = await writeLoopbackCertificate(this.#folder);
    const [fleetKey, password, accounts] = [
      this.#path("fleet.key"),
      this.#path("password"),
      this.#path("accounts.yaml"),
    ];
    await writeFile(password, `${crypto.randomUUID()}\n`, { mode: 0o600 });
    await this.run("keygen", ["keygen", "--fleet", fleetKey]);
    const account = ["origin", "account", "add", USER];
    await this.run("account add", [...account, "--password-file", password, "--accounts", accounts]);
    const config = this.#path("origin.yaml");
    await writeFile(config, JSON.stringify({ authentication: { accountsFile: accounts } }));
    const tls = ["--tls-cert", cert, "--tls-key", key, "--fleet-key-file", fleetKey];
    this.#trackerArgs = ["tracker", ...tls, "--state", this.#path("tracker")];
    this.#tracker = this.#start("tracker", [...this.#trackerArgs, "--tls-listen", ANY_PORT]);
    this.#trackerUrl = await this.#readyUrl(this.#tracker);
    // The origin speaks to the tracker as a client does: it has to trust the certificate.
    const tracker = ["--tracker", this.#trackerUrl, "--tracker-ca", cert];
    const folders = ["--root", this.root, "--config", config, "--state", this.#path("origin")];
    this.#origin = this.#start("origin", [
      "origin",
      ...folders,
      ...tls,
      "--tls-listen",
      ANY_PORT,
      ...tracker,
    ]);
    this.#originUrl = await this.#readyUrl(this.#origin);
    return this.#originUrl;
  }

  /** Starts `perSite` clients at each site; `extra` goes to each as further options. */
  async startClients(sites: readonly string[], perSite: number, extra: readonly string[]): Promise<void> {
    const config = this.#path("client.yaml");
    // All sites share this machine: multicast would join them, and loopback is the only LAN.
    await writeFile(config, JSON.stringify({ allowLoopbackPeers: true, lanAnnounce: false }));
    for (let n = 1; n <= perSite; n += 1) {
      for (const site of sites) {
        const name = `${site}-${n}`;
        const store = this.#path(name);
        const servers = [
          "--origin",
          this.#originUrl,
          "--tracker",
          this.#trackerUrl,
          "--ca",
          this.#path(CERT),
        ];
        const own = ["--store", store, "--site", site, "--listen", ANY_PORT, "--config", config];
        const account = ["--user", USER, "--password-file", this.#path("password")];
        const args = ["client", "run", ...servers, ...own, ...account, ...extra];
        this.clients.push({ name, site, store, args, process: this.#start(name, args) });
      }
    }
  }

  /** Ends a client as a power cut would and starts it again on the same store. */
  async crashClient(client: FleetClient): Promise<void> {
    await client.process.kill();
    client.process = this.#start(client.name, client.args);
  }

  /** Ends the tracker as a power cut would and starts it again at the same address. */
  async crashTracker(): Promise<void> {
    await this.#tracker?.kill();
    const address = new URL(this.#trackerUrl).host;
    this.#tracker = this.#start("tracker", [...this.#trackerArgs, "--tls-listen", address]);
    await this.#readyUrl(this.#tracker);
  }

  /** Runs one command of ckmesh to its end and returns its summary line. */
  async run(name: string, args: readonly string[], onStatus?: (line: Fields) => void): Promise<Fields> {
    const process = this.#start(name, args, onStatus);
    const summary = await process.done(this.#signal);
    return new Fields(summary, `${name} summary`, "ERR_INTERNAL");
  }

  /** Waits until the origin has published a version. */
  async published(image: string, version: number): Promise<void> {
    await this.#origin?.waitFor(
      (line) => line["event"] === "published" && line["image"] === image && line["version"] === version,
      this.#signal,
    );
  }

  /** Waits until the clients together have a share (0 to 1) of a version. */
  async reaches(version: number, share: number): Promise<void> {
    const isThere = (): boolean => {
      const { bytesDone, bytesTotal } = this.progress(version);
      return bytesDone > 0 && bytesDone >= share * bytesTotal;
    };
    const lines = this.clients.map(async ({ process }) =>
      process.waitFor((line) => line["type"] === "status" && isThere(), this.#signal),
    );
    // The other waits end with the processes.
    for (const line of lines) line.catch(() => {});
    await Promise.any(lines);
  }

  /**
   * Waits until every client has every byte of a version; calls `onProgress` now and then.
   * @throws {AppError} ERR_INTERNAL when a client ends before, ERR_ABORTED by the signal
   */
  async complete(
    image: string,
    version: number,
    onProgress: (progress: FleetProgress) => void,
  ): Promise<readonly ClientResult[]> {
    const timer = setInterval(() => onProgress(this.progress(version)), 500);
    try {
      return await Promise.all(
        this.clients.map(async ({ name, site, process }) => {
          const line = await process.waitFor(
            (l) =>
              l["event"] === "state" &&
              l["image"] === image &&
              l["version"] === version &&
              COMPLETE.has(String(l["state"])),
            this.#signal,
          );
          return resultOf(name, site, line);
        }),
      );
    } finally {
      clearInterval(timer);
    }
  }

  /** Ends every process; safe to call twice. */
  async stop(): Promise<void> {
    await Promise.all(this.#processes.map(async (process) => process.stop()));
  }

  /** How far all clients are with a version. */
  progress(version: number): FleetProgress {
    let [bytesDone, bytesTotal] = [0, 0];
    const notes = this.clients.map(({ name, process }) => {
      const share = shareOf(process, version);
      bytesDone += share.done;
      bytesTotal += share.total;
      return `${name} ${share.total === 0 ? 0 : Math.floor((share.done / share.total) * 100)} %`;
    });
    return { bytesDone, bytesTotal, note: notes.join("  ") };
  }

  #start(name: string, args: readonly string[], onStatus?: (line: Fields) => void): CkmeshProcess {
    this.#signal.throwIfAborted();
    const process = new CkmeshProcess(name, args, {
      logFile: this.#path(`${name}.log`),
      ...(onStatus === undefined ? {} : { onStatus }),
    });
    this.#processes.push(process);
    return process;
  }

  async #readyUrl(process: CkmeshProcess): Promise<string> {
    const line = await process.waitFor((l) => l["event"] === "ready", this.#signal);
    const url = new Fields(line, "ready").strings("urls", 8, 300)[0];
    if (url === undefined) throw new AppError("ERR_INTERNAL", `${process.name} names no address`);
    return url;
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

/** Bytes a client has of a version, from its newest status line or its state. */
function shareOf(process: CkmeshProcess, version: number): { readonly done: number; readonly total: number } {
  const line = process.findLast((l) => l["event"] === "state" && l["version"] === version);
  if (line === undefined) return { done: 0, total: 0 };
  const fields = new Fields(line, "state", "ERR_INTERNAL");
  const total = fields.int("needed", 0, Number.MAX_SAFE_INTEGER);
  if (COMPLETE.has(fields.string("state", 20))) return { done: total, total };
  const status = process.findLast((l) => l["type"] === "status");
  if (status === undefined) return { done: 0, total };
  const now = new Fields(status, "status", "ERR_INTERNAL");
  return {
    done: now.int("bytesDone", 0, Number.MAX_SAFE_INTEGER),
    total: now.int("bytesTotal", 0, Number.MAX_SAFE_INTEGER),
  };
}

function resultOf(client: string, site: string, line: unknown): ClientResult {
  const fields = new Fields(line, "state", "ERR_INTERNAL");
  const bytes = fields.map("bytes");
  return {
    client,
    site,
    neededBytes: countOf(fields, "needed"),
    bytes: {
      previous: countOf(bytes, "previous"),
      delta: countOf(bytes, "delta"),
      peers: countOf(bytes, "peers"),
      origin: countOf(bytes, "origin"),
    },
    wastedOriginBytes: countOf(fields.map("wasted"), "origin"),
  };
}

function countOf(map: Fields, key: string): number {
  return map.int(key, 0, Number.MAX_SAFE_INTEGER);
}
