import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Origin,
  type OriginConfig,
  originConfigDefaults,
  originConfigSchema,
  startOrigin,
} from "@ckmesh/origin";
import { createLogger, createMetrics, cryptoRandom, loadConfig, systemClock } from "@ckmesh/runtime";
import { onTestFinished } from "vitest";
import type { MadePair } from "./make-pair.js";
import { TEST_CERT, TEST_KEY } from "./tls-fixture.js";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface TestOrigin {
  readonly origin: Origin;
  readonly config: OriginConfig;
  readonly folder: string;
  readonly root: string;
  readonly state: string;
  /** JSON lines of its logger. */
  readonly log: readonly string[];
  /** Raw target, nothing normalised; by the TLS listener when there is one and `plain` is not asked for. */
  get(target: string, headers?: OutgoingHttpHeaders, method?: string, body?: string): Promise<Answer>;
  getPlain(target: string, headers?: OutgoingHttpHeaders, method?: string, body?: string): Promise<Answer>;
  drop(pair: MadePair): void;
  /** Resolves when the newest version of an image is `version`. */
  published(image: string, version: number): Promise<void>;
}

export interface TestOriginOptions {
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly tls?: boolean;
  /** Goes on in the folder of another one, for restarts. */
  readonly folder?: string;
  readonly pairs?: readonly MadePair[];
  /** Default: at the end of the test; given, for an origin that tests share. */
  readonly onEnd?: OnEnd;
}

type OnEnd = (run: () => void | Promise<void>) => void;

/** A folder that is gone after the test. */
export function temporaryFolder(onEnd: OnEnd = onTestFinished): string {
  const folder = mkdtempSync(join(tmpdir(), "ckmesh-origin-"));
  onEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A real origin on loopback, anonymous unless told otherwise, closed after the test. */
export async function startTestOrigin(options: TestOriginOptions = {}): Promise<TestOrigin> {
  const onEnd = options.onEnd ?? onTestFinished;
  const folder = options.folder ?? temporaryFolder(onEnd);
  const root = join(folder, "images");
  const state = join(folder, "state");
  mkdirSync(root, { recursive: true });
  const drop = (pair: MadePair): void => {
    writeFileSync(join(root, pair.packName), pair.pack);
    writeFileSync(join(root, pair.indexName), pair.index);
  };
  for (const pair of options.pairs ?? []) drop(pair);
  const tlsFlags = options.tls === true ? tlsFiles(folder) : {};
  const { config } = loadConfig({
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    envPrefix: "CKMESH_",
    env: {},
    unknownKeys: "error",
    flags: {
      "virtualDirectory.physicalPath": root,
      state,
      listen: "127.0.0.1:0",
      "authentication.anonymous.enabled": true,
      "publish.scanMs": 20,
      "publish.settleMs": 60,
      "limits.drainMs": 200,
      // An alias that waits for a delta is the subject of few tests.
      "deltas.from": 0,
      ...tlsFlags,
      ...options.flags,
    },
  });
  const log: string[] = [];
  const logger = createLogger({ level: "debug", destination: { write: (line) => log.push(line) } });
  const metrics = await createMetrics({ processMetrics: false });
  const origin = await startOrigin(config, { logger, metrics, clock: systemClock, random: cryptoRandom });
  onEnd(() => origin.close());
  const bases = origin.urls.map((url) => new URL(url));
  const plain = bases.find(({ protocol }) => protocol === "http:");
  const best = bases.find(({ protocol }) => protocol === "https:") ?? plain;
  const get: TestOrigin["get"] = async (target, headers = {}, method = "GET", body?) =>
    ask(best, target, headers, method, body);
  return {
    origin,
    config,
    folder,
    root,
    state,
    log,
    get,
    getPlain: async (target, headers = {}, method = "GET", body?) =>
      ask(plain, target, headers, method, body),
    drop,
    published: (image, version) =>
      eventually(async () => {
        const { headers } = await get(`/MEDVImages/${image}.ckm.index`, {}, "HEAD");
        return headers["content-location"] === `${image}_${version}.ckm.index`;
      }),
  };
}

/** Asks again until it is so, for at most 5 s, or what else is said. */
export async function eventually(isSo: () => boolean | Promise<boolean>, withinMs = 5000): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`never: ${isSo.toString()}`);
    await new Promise((done) => setTimeout(done, 10)); // oxlint-disable-line no-await-in-loop
  }
}

/** Waits until a count has begun, and has then stood still for ten looks. */
export async function settled(count: () => number): Promise<void> {
  let [before, looks] = [0, 0];
  await eventually(() => {
    const now = count();
    looks = now > 0 && now === before ? looks + 1 : 0;
    before = now;
    return looks === 10;
  });
}

function tlsFiles(folder: string): Readonly<Record<string, string>> {
  const [tlsCert, tlsKey] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  writeFileSync(tlsCert, TEST_CERT);
  writeFileSync(tlsKey, TEST_KEY);
  return { tlsListen: "127.0.0.1:0", tlsCert, tlsKey };
}

/** One request on a connection of its own. */
export function ask(
  base: URL | undefined,
  target: string,
  headers: OutgoingHttpHeaders,
  method: string,
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    if (base === undefined) return reject(new Error("no such listener"));
    const isTls = base.protocol === "https:";
    const options = { host: base.hostname, port: base.port, path: target, method, headers, agent: false };
    const request = isTls ? httpsRequest({ ...options, ca: TEST_CERT }) : httpRequest(options);
    request.on("error", reject);
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      );
    });
    request.end(body);
  });
}
