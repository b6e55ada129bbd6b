import { join } from "node:path";
import type { BitsAnswer } from "@ckmesh/bits";
import { type Clock, noMetrics } from "@ckmesh/core";
import { type OriginConfig, originConfigDefaults, originConfigSchema } from "@ckmesh/origin";
import { createLogger, cryptoRandom, formatListen, loadConfig, systemClock } from "@ckmesh/runtime";
import { onTestFinished } from "vitest";
import { LiveAccess } from "../../src/access/live-access.js";
import type { BitsHandler } from "../../src/bits/bits-request.js";
import { Catalogue } from "../../src/catalogue/catalogue.js";
import { OriginControls } from "../../src/control/origin-controls.js";
import { type Listener, type ListenerParts, openListener } from "../../src/listener/listener.js";
import { RequestRecorder } from "../../src/listener/request-facts.js";
import { LogonAudit } from "../../src/logon/logon-audit.js";
import { AuditLog } from "../../src/logs/audit-log.js";
import { type W3cEntry, W3cLog } from "../../src/logs/w3c-log.js";
import { OpenFiles } from "../../src/serve/open-files.js";
import { RequestPlaces } from "../../src/serve/request-place.js";
import { SiteMap } from "../../src/serve/site-map.js";
import { TransferGate } from "../../src/serve/transfer-gate.js";
import { temporaryFolder } from "../origin-fixture.js";
import { TEST_CERT, TEST_KEY } from "../tls-fixture.js";

export interface BitsListener {
  readonly url: string;
  readonly listener: Listener;
  readonly live: LiveAccess;
  /** JSON lines of its logger. */
  readonly log: readonly string[];
  /** What the request log was given. */
  readonly entries: readonly W3cEntry[];
  /** As when the origin stops: requests are answered 503 from now on. */
  readonly stop: () => void;
}

export interface BitsListenerOptions {
  readonly scheme?: "http" | "https" | "certificate";
  readonly clock?: Clock;
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly maxConnections?: number;
  /** What `/metrics` answers, which everybody may ask for. */
  readonly metricsText?: () => Promise<string>;
}

/** Answers without looking at the body. */
export function answering(status: number, headers: BitsAnswer["headers"] = {}): BitsHandler {
  return async () => ({ status, headers });
}

class RecordingLog extends W3cLog {
  readonly entries: W3cEntry[] = [];

  override write(entry: W3cEntry): void {
    this.entries.push(entry);
  }
}

/** A real listener on loopback as the origin opens it, with a handler of the test. */
export async function openBitsListener(
  handler: BitsHandler,
  options: BitsListenerOptions = {},
): Promise<BitsListener> {
  const { scheme = "http", clock = systemClock } = options;
  const folder = temporaryFolder();
  const config = configOf({ ...options.flags });
  const log: string[] = [];
  const logger = createLogger({ level: "debug", destination: { write: (line) => log.push(line) } });
  const audit = new AuditLog(folder, logger);
  const live = await LiveAccess.open(config, { clock, logger, audit: new LogonAudit(audit, clock) });
  const { access } = live;
  const catalogue = new Catalogue();
  const openFiles = new OpenFiles(clock, logger);
  const w3c = new RecordingLog(join(folder, "logs"), clock, logger);
  const recorder = new RequestRecorder({ clock, metrics: noMetrics, log: w3c });
  const controls = await OriginControls.open({
    root: folder,
    stateDir: folder,
    publishers: () => [],
    catalogue,
    openFiles,
    audit,
    clock,
    logger,
    metrics: noMetrics,
    onAliasMoved: () => {},
  });
  const limits = { maxTransfers: 10, maxWaiting: 10, maxWaitMs: 1000 };
  let isClosing = false;
  const parts: ListenerParts = {
    access,
    recorder,
    files: {
      catalogue,
      controls,
      findStaged: async () => undefined,
      openFiles,
      places: new RequestPlaces(new SiteMap({})),
      transfers: new TransferGate({ limits, clock, random: cryptoRandom, metrics: noMetrics }),
      logger,
      directoryName: "MEDVImages",
      directoryBrowse: true,
      publicCache: false,
    },
    addRoutes: (app) => {
      app.get("/healthz", () => ({ status: "ok" }));
      app.get("/metrics", () => options.metricsText?.() ?? "");
    },
    refreshAccounts: () => live.refresh(),
    upgrades: new Map(),
    bits: handler,
    isClosing: () => isClosing,
    maxConnections: options.maxConnections ?? 1000,
    clock,
    logger,
  };
  const files = { cert: Buffer.from(TEST_CERT), key: Buffer.from(TEST_KEY), stamp: "" };
  const { certificates: clients } = live;
  const tls = { files, ...(clients !== undefined && scheme === "certificate" && { clients }) };
  const listen = { host: "127.0.0.1", port: 0 };
  const listener = await openListener(parts, listen, scheme === "http" ? undefined : tls);
  onTestFinished(async () => {
    await listener.close(0);
    openFiles.close();
    await Promise.all([audit.close(), live.close()]);
  });
  return {
    url: `${scheme === "http" ? "http" : "https"}://${formatListen(listener.address)}`,
    listener,
    live,
    log,
    entries: w3c.entries,
    stop: () => {
      isClosing = true;
    },
  };
}

export function configOf(flags: Readonly<Record<string, unknown>>): OriginConfig {
  const { config } = loadConfig({
    schema: originConfigSchema,
    defaults: originConfigDefaults,
    envPrefix: "CKMESH_",
    env: {},
    unknownKeys: "error",
    flags: {
      "virtualDirectory.physicalPath": "/nowhere",
      "authentication.anonymous.enabled": true,
      "deltas.from": 0,
      ...flags,
    },
  });
  return config;
}
