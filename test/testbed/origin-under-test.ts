import { randomFillSync } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CkmeshProcess } from "@ckmesh/cli";
import { packImage } from "@ckmesh/store";
import type { KeyPair } from "./certificates.js";

/** Name of the image that is served; version 1. */
export const IMAGE = "Win11";
const LOG = "origin.log";
const IMAGE_PACK = `${IMAGE}_1.ckm`;

interface OriginUnderTestOptions {
  /** For its state, images and configuration; must be there. */
  readonly folder: string;
  /** The `authentication` block. */
  readonly authentication: unknown;
  /** `rights`; default: that of the product. */
  readonly rights?: unknown;
  /** Further settings: `limits`, `certListen` … */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Serves https too with this certificate. */
  readonly tls?: KeyPair;
  /** Serves https only. */
  readonly isTlsOnly?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly diskBytes?: number;
  /** Of the plain listener; default: any. For an origin that comes back where it was. */
  readonly port?: number;
}

/** The origin command as a process, serving one small image over http and, if asked, https. */
export class OriginUnderTest {
  /** `http://localhost:PORT`: Kerberos names the host, so it is not an address. */
  readonly httpUrl: string;
  readonly httpsUrl: string;
  /** Of the listener that requires client certificates; empty without `certListen`. */
  readonly certUrl: string;
  /** Of all listeners as the origin names them. */
  readonly urls: readonly string[];
  readonly pid: number;
  readonly #process: CkmeshProcess;
  readonly #folder: string;

  private constructor(process: CkmeshProcess, urls: readonly string[], folder: string) {
    this.#process = process;
    this.#folder = folder;
    this.urls = urls;
    this.pid = process.pid ?? 0;
    this.httpUrl = localUrl(urls, "http:", 0);
    this.httpsUrl = localUrl(urls, "https:", 0);
    this.certUrl = localUrl(urls, "https:", 1);
  }

  /** @param signal of the test: gives up waiting */
  static async start(options: OriginUnderTestOptions, signal: AbortSignal): Promise<OriginUnderTest> {
    const { folder, tls, authentication, rights, settings, env } = options;
    const root = join(folder, "images");
    if (!existsSync(join(root, IMAGE_PACK))) await makeImage(folder, root, options.diskBytes ?? 1024 * 1024);
    const config = join(folder, "origin.yaml");
    const publish = { scanMs: 50, settleMs: 0 };
    writeFileSync(
      config,
      JSON.stringify({ authentication, publish, ...settings, ...(rights === undefined ? {} : { rights }) }),
    );
    const logFile = join(folder, LOG);
    const secure =
      tls === undefined ? [] : ["--tls-listen", "127.0.0.1:0", "--tls-cert", tls.cert, "--tls-key", tls.key];
    const folders = ["--root", root, "--config", config, "--state", join(folder, "state")];
    const plain = options.isTlsOnly === true ? [] : ["--listen", `127.0.0.1:${options.port ?? 0}`];
    const args = ["origin", ...folders, ...plain, ...secure];
    const process = new CkmeshProcess("origin", args, { logFile, ...(env === undefined ? {} : { env }) });
    try {
      const ready = await process.waitFor((line) => line["event"] === "ready", signal);
      const urls = Array.isArray(ready["urls"]) ? ready["urls"].map(String) : [];
      return new OriginUnderTest(process, urls, folder);
    } catch (err) {
      await process.stop();
      throw err;
    }
  }

  /** Path of the image's pack. */
  readonly packPath = `/MEDVImages/${IMAGE_PACK}`;

  get packUrl(): string {
    return `${this.httpUrl}${this.packPath}`;
  }

  get securePackUrl(): string {
    return `${this.httpsUrl}${this.packPath}`;
  }

  /** What it wrote to its log so far. */
  log(): string {
    return readFileSync(join(this.#folder, LOG), "utf8");
  }

  /** Its audit log so far. */
  audit(): string {
    return readFileSync(join(this.#folder, "state", "audit.ndjson"), "utf8");
  }

  async stop(): Promise<void> {
    await this.#process.stop();
  }

  /** Ends it at once, as a power cut would. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }
}

async function makeImage(folder: string, root: string, diskBytes: number): Promise<void> {
  mkdirSync(root, { recursive: true });
  const disk = join(folder, "disk.img");
  writeFileSync(disk, randomFillSync(new Uint8Array(diskBytes)));
  await packImage({ diskPath: disk, name: IMAGE, outDir: root, level: 1 });
  rmSync(disk);
}

function localUrl(urls: readonly string[], protocol: "http:" | "https:", n: number): string {
  const url = urls.map((text) => new URL(text)).filter((candidate) => candidate.protocol === protocol)[n];
  return url === undefined ? "" : `${protocol}//localhost:${url.port}`;
}
