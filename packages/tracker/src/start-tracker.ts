import type { IncomingMessage, RequestListener } from "node:http";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type Clock, type Logger, type Metrics, type Random, seededRandom } from "@ckmesh/core";
import { cryptoRandom, type PrometheusMetrics } from "@ckmesh/runtime";
import { compileConfig } from "./compile-config.js";
import type { TrackerConfig } from "./config-schema.js";
import type { StoredReport } from "./report-board.js";
import { SnapshotStore } from "./snapshot-store.js";
import { TrackerDriver, type TrackerStatus } from "./tracker-driver.js";
import { openListener, type TrackerListener } from "./tracker-listener.js";
import { TrackerMachine } from "./tracker-machine.js";

export interface TrackerDeps {
  readonly logger: Logger;
  /** With `text()` the tracker's own port answers `/metrics`. */
  readonly metrics: Metrics | PrometheusMetrics;
  readonly clock: Clock;
  /** Draws lists of peers, no secrets. */
  readonly random?: Random;
}

/** A running tracker. */
export interface Tracker {
  /** Of its own listeners; empty when it is only mounted. */
  readonly urls: readonly string[];
  /** For the `upgrade` event of another server that mounts the tracker at a path. */
  handleUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Tells all clients that a version was published. */
  publish(published: { readonly image: string; readonly version: number }): void;
  /** The last report of each client and image. */
  reports(): readonly StoredReport[];
  status(): TrackerStatus;
  close(): Promise<void>;
}

/**
 * Starts a tracker: on ports of its own as configured, and ready to be mounted.
 * @throws {AppError} ERR_CONFIG_INVALID, ERR_ADDRESS_IN_USE, ERR_STORE_BUSY, ERR_STORE_CORRUPT
 */
export async function startTracker(config: TrackerConfig, deps: TrackerDeps): Promise<Tracker> {
  const { rules, listens } = await compileConfig(config);
  const logger = deps.logger.child({ component: "tracker" });
  const machine = new TrackerMachine(rules, deps.random ?? quickRandom(), deps.clock.now());
  const store =
    config.state === undefined
      ? undefined
      : await SnapshotStore.open(join(config.state, "tracker-snapshot"), logger);
  const driver = new TrackerDriver({
    machine,
    store,
    logger,
    clock: deps.clock,
    metrics: deps.metrics,
    ...rules.limits,
  });
  const listeners: TrackerListener[] = [];
  const close = async (): Promise<void> => {
    await driver.close();
    await Promise.all(listeners.map((listener) => listener.close()));
  };
  try {
    await driver.start();
    for (const { address, tls } of listens) {
      listeners.push(
        // oxlint-disable-next-line no-await-in-loop -- one after the other: a failure leaves none half open
        await openListener({
          listen: address,
          ...(tls === undefined ? {} : { tls }),
          hub: driver.hub,
          onRequest: requests(driver, deps.metrics),
          // Some room for /healthz and for connections that are being refused.
          maxConnections: rules.limits.maxConnections + 100,
          logger,
        }),
      );
    }
  } catch (err) {
    await close();
    throw err;
  }
  const urls = listeners.map((listener) => listener.url);
  logger.info({ urls, open: rules.open, sites: rules.sites.length }, "tracker ready");
  let closing: Promise<void> | undefined;
  return {
    urls,
    handleUpgrade: (req, socket, head) => driver.hub.handleUpgrade(req, socket, head),
    publish: ({ image, version }) => driver.step({ type: "publish", image, version }),
    reports: () => machine.reports(),
    status: () => driver.status(),
    close: () => (closing ??= close()),
  };
}

/** Draws lists of peers, no secrets: 50 times the speed of the operating system's. */
function quickRandom(): Random {
  return seededRandom(Math.floor(cryptoRandom.next() * 2 ** 32));
}

function requests(driver: TrackerDriver, metrics: Metrics | PrometheusMetrics): RequestListener {
  return (req, res) => {
    const path = (req.url ?? "").split("?")[0];
    const answer = (status: number, type: string, body: string): void => {
      res.writeHead(status, {
        "content-type": type,
        "content-length": Buffer.byteLength(body),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
      });
      res.end(req.method === "HEAD" ? undefined : body);
    };
    if (req.method !== "GET" && req.method !== "HEAD") {
      answer(405, "text/plain", "only GET\n");
    } else if (path === "/healthz") {
      answer(200, "application/json", `${JSON.stringify({ ok: true, ...driver.status() })}\n`);
    } else if (path === "/metrics" && "text" in metrics) {
      driver.refreshGauges();
      metrics.text().then(
        (text) => answer(200, metrics.contentType, text),
        () => answer(500, "text/plain", "metrics failed\n"),
      );
    } else {
      answer(404, "text/plain", "this is a ckmesh tracker: connect with a WebSocket\n");
    }
  };
}
