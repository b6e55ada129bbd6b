import { createHash, type KeyObject } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type ClientConfig,
  type ClientStatus,
  clientConfigDefaults,
  type RunningClient,
  startClient,
  type VersionStatus,
} from "@ckmesh/client";
import { noMetrics, type Random, type Run, seededRandom, silentLogger } from "@ckmesh/core";
import { createLogger, systemClock } from "@ckmesh/runtime";
import { indexOpaquePack, makeDelta, packImage } from "@ckmesh/store";
import { startTracker, type Tracker } from "@ckmesh/tracker";
import { expect, vi } from "vitest";
import { StaticOrigin } from "./static-origin.js";

/** A tracker that lets in whoever comes; the test closes it after its clients. */
export async function openTracker(): Promise<Tracker> {
  return await startTracker(
    { listen: "127.0.0.1:0", open: true },
    { logger: silentLogger, metrics: noMetrics, clock: systemClock, random: seededRandom(1) },
  );
}

const MIB = 1024 * 1024;
/** Not the number of a version. */
const SETTLED_SEED = 1_000_000;

/** A folder served by a stock web server, and clients with stores beside it. */
export class Fixture {
  readonly dir: string;
  readonly origin: StaticOrigin;
  readonly #clients: RunningClient[] = [];

  private constructor(dir: string, origin: StaticOrigin) {
    this.dir = dir;
    this.origin = origin;
  }

  static async create(): Promise<Fixture> {
    const dir = await mkdtemp(join(tmpdir(), "ckmesh-client-"));
    await mkdir(join(dir, "www"));
    return new Fixture(dir, await StaticOrigin.start(join(dir, "www")));
  }

  /**
   * Packs a disk of `mib` MiB that only the seed decides, and publishes it. `changed` frames differ from version to
   * version in one sector, `renewed` ones in every byte, `edited` ones in an eighth of every sector, with the edits
   * of version `like`; `settled` ones behind them as `edited` ones, but alike in all versions that have them. `deltas`
   * are made from these versions.
   */
  async publish(
    version: number,
    mib: number,
    options: {
      changed?: number;
      renewed?: number;
      edited?: number;
      settled?: number;
      like?: number;
      deltas?: readonly number[];
      name?: string;
      signer?: KeyObject;
    } = {},
  ): Promise<void> {
    const name = options.name ?? "Win11";
    const disk = join(this.dir, "disk.img");
    const bytes = diskBytes(mib);
    for (let i = 0; i < (options.changed ?? 0); i++)
      bytes.fill(version, i * 65_536 + 4096, i * 65_536 + 8192);
    const random = seededRandom(options.like ?? version);
    for (let at = 0; at < (options.renewed ?? 0) * 65_536; at += 4)
      bytes.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
    const edited = options.edited ?? 0;
    edit(bytes, { first: 0, count: edited }, random);
    edit(bytes, { first: edited, count: options.settled ?? 0 }, seededRandom(SETTLED_SEED));
    await writeFile(disk, bytes);
    const www = join(this.dir, "www");
    await packImage({
      diskPath: disk,
      name,
      outDir: www,
      version,
      ...(options.signer !== undefined && { signers: [options.signer] }),
      ...(version > 1 && { previous: join(www, `${name}_${version - 1}.ckm.index`) }),
    });
    for (const from of options.deltas ?? []) await this.makeDelta(from, version, options);
    this.origin.publish(name, version);
  }

  /** Makes the delta between two published versions. */
  async makeDelta(
    from: number,
    version: number,
    { name = "Win11", signer }: { name?: string; signer?: KeyObject } = {},
  ): Promise<void> {
    const www = join(this.dir, "www");
    await makeDelta({
      basePath: join(www, `${name}_${from}.ckm.index`),
      targetPath: join(www, `${name}_${version}.ckm.index`),
      ...(signer !== undefined && { signers: [signer] }),
    });
  }

  /** A `.ckm` of another program with an index of its own, as the origin publishes it. */
  async publishForeign(version: number, length: number): Promise<void> {
    const pack = join(this.dir, "www", `Win11_${version}.ckm`);
    await writeFile(pack, diskBytes(4).subarray(0, length));
    await writeFile(`${pack}.index`, "MED-V's own");
    await indexOpaquePack({ packPath: pack, indexPath: `${pack}.frames.index`, name: "Win11", version });
    this.origin.publish("Win11", version);
    this.origin.aliases.set("Win11.ckm.frames.index", `Win11_${version}.ckm.frames.index`);
  }

  store(name: string): string {
    return join(this.dir, name);
  }

  /** Lets a client know of a peer on this machine, as if it had met it before. */
  async remember(store: string, port: number): Promise<void> {
    await mkdir(this.store(store), { recursive: true });
    await writeFile(
      join(this.store(store), "peers.json"),
      JSON.stringify({ peers: [{ address: "127.0.0.1", port }] }),
    );
  }

  async client(store: string, config: Partial<ClientConfig> = {}): Promise<RunningClient> {
    const client = await startClient(
      {
        ...clientConfigDefaults,
        origin: this.origin.url,
        store: this.store(store),
        images: ["Win11"],
        listen: "127.0.0.1:0",
        lanAnnounce: false,
        allowLoopbackPeers: true,
        once: true,
        ...config,
      },
      {
        clock: systemClock,
        random: seededRandom(store.length),
        logger:
          process.env["CKMESH_TEST_LOG"] === "1"
            ? createLogger({ level: "debug", destination: process.stderr })
            : silentLogger,
        metrics: noMetrics,
      },
    );
    this.#clients.push(client);
    return client;
  }

  /** Runs a client with --once to its end. */
  async once(store: string, config: Partial<ClientConfig> = {}): Promise<ClientStatus> {
    const client = await this.client(store, config);
    try {
      await client.done;
      return client.status();
    } finally {
      await client.close();
    }
  }

  /** True if both files of a version in a store are those of the origin. */
  async isIdentical(store: string, version: number, name = "Win11"): Promise<boolean> {
    const files = [`${name}_${version}.ckm`, `${name}_${version}.ckm.index`];
    const pairs = await Promise.all(
      files.map(async (file) => [
        await digest(join(this.dir, "www", file)),
        await digest(join(this.store(store), "images", name, file)),
      ]),
    );
    return pairs.every(([a, b]) => a === b);
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((c) => c.close()));
    await this.origin.close();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** The status of a version; fails when it is not there. */
export function versionOf(status: ClientStatus, version: number, name = "Win11"): VersionStatus {
  const found = status.images.find((i) => i.name === name)?.versions.find((v) => v.version === version);
  if (found === undefined) throw new Error(`no version ${version} of ${name} in ${JSON.stringify(status)}`);
  return found;
}

/** The sum that must be `needed`: each row counted once. */
export function countedBytes({ bytes }: VersionStatus): number {
  return bytes.previous + bytes.delta + bytes.host + bytes.peers + bytes.origin;
}

/** Waits until a version is the active one of all these clients. */
export async function reached(clients: readonly RunningClient[], version: number): Promise<void> {
  await vi.waitFor(
    () => {
      for (const client of clients) expect(versionOf(client.status(), version).state).toBe("active");
    },
    { timeout: 60_000, interval: 50 },
  );
}

async function digest(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

/** Changes an eighth of every sector of these frames. */
function edit(bytes: Buffer, { first, count }: Run, random: Random): void {
  for (let sector = first * 16; sector < (first + count) * 16; sector++)
    for (let at = 2048; at < 2560; at += 4)
      bytes.writeUInt32LE(Math.floor(random.next() * 2 ** 32), sector * 4096 + at);
}

/** Half of it does not compress, a quarter does, a quarter is empty. */
function diskBytes(mib: number): Buffer {
  const bytes = Buffer.alloc(mib * MIB);
  const random = seededRandom(mib);
  for (let at = 0; at < bytes.length / 2; at += 4)
    bytes.writeUInt32LE(Math.floor(random.next() * 2 ** 32), at);
  for (let at = bytes.length / 2; at < (bytes.length * 3) / 4; at += 4) bytes.writeUInt32LE(at >>> 6, at);
  return bytes;
}
