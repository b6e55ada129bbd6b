import { join } from "node:path";
import { AppError, type Clock, fromHex, type Logger, type Metrics, type Random } from "@ckmesh/core";
import { formatListen, readKeyFile } from "@ckmesh/runtime";
import type { FairQueueLimits } from "@ckmesh/swarm";
import { issueTicket, TICKET_LIFETIME_MS } from "@ckmesh/wire";
import { LiveAccess } from "./access/live-access.js";
import { addApiRoutes } from "./api/api-routes.js";
import { DeletionJournal } from "./api/deletion-journal.js";
import { ImageRemover } from "./api/image-remover.js";
import { addImageRoutes } from "./api/image-routes.js";
import { addUploadRoutes } from "./api/upload-routes.js";
import { type BitsServer, openBitsServer } from "./bits/bits-server.js";
import { prepareStaging } from "./bits/staging-folder.js";
import { Catalogue } from "./catalogue/catalogue.js";
import { CatalogueCache } from "./catalogue/catalogue-cache.js";
import { Publications, type Published } from "./catalogue/publications.js";
import { checkOriginConfig } from "./config/check-config.js";
import type { OriginConfig } from "./config/config-schema.js";
import { planReload, type ReloadPlan } from "./config/reload-plan.js";
import { warnOfSettings } from "./config/warn-of-settings.js";
import { addControlRoutes } from "./control/control-routes.js";
import { OriginControls } from "./control/origin-controls.js";
import { OriginDeltas } from "./deltas/origin-deltas.js";
import type { Listener, ListenerParts, UpgradeHandler } from "./listener/listener.js";
import { openListeners } from "./listener/open-listeners.js";
import { RequestRecorder } from "./listener/request-facts.js";
import { watchTls } from "./listener/watch-tls.js";
import { LogonAudit } from "./logon/logon-audit.js";
import { AuditLog } from "./logs/audit-log.js";
import { W3cLog } from "./logs/w3c-log.js";
import { makeStateDir, openRoot } from "./origin-folders.js";
import { OpaqueIndexes } from "./publish/opaque-pack.js";
import type { ProvePairOptions } from "./publish/prove-pair.js";
import { LONE_SETTLE_FACTOR, PublishGate } from "./publish/publish-gate.js";
import { verifyInWorker } from "./publish/verify-in-worker.js";
import { OpenFiles } from "./serve/open-files.js";
import { RequestPlaces } from "./serve/request-place.js";
import { SiteMap } from "./serve/site-map.js";
import { TransferGate } from "./serve/transfer-gate.js";
import { Uploads } from "./uploads/uploads.js";

export interface OriginDeps {
  readonly logger: Logger;
  /** With `text`, they are shown at `/metrics`. */
  readonly metrics: Metrics & { readonly text?: () => Promise<string> };
  readonly clock: Clock;
  /** Spreads the moments at which refused clients come back. */
  readonly random: Random;
}

export interface Origin {
  /** Of the virtual directory, one per listener: what clients take for `--origin`. */
  readonly urls: readonly string[];
  /** Called when a version is published that never was before, and when an alias moves to another version. */
  onPublished(listener: (published: Published) => void): void;
  /** Hands WebSocket requests for a path to somebody else, on every listener. */
  mountUpgrade(path: string, handler: UpgradeHandler): void;
  /**
   * A ticket of role `origin`, for telling a tracker what is published.
   * @throws {AppError} ERR_CONFIG_INVALID without a fleet key
   */
  issueOriginTicket(peerId: Uint8Array): Uint8Array;
  /**
   * Takes a new configuration as far as that goes without a restart; transfers under way go on. Files that it
   * names are looked at again.
   * @throws {AppError} ERR_CONFIG_INVALID; everything then stays as it was
   */
  reload(config: OriginConfig): Promise<ReloadPlan>;
  /** Answers 503, lets transfers end, then closes. */
  close(): Promise<void>;
}

/** For answers that were cut at a stop: their ends are told a moment later. */
const LAST_WORDS_MS = 1000;

/**
 * Starts an origin: returns when it answers and what was published before is published again.
 * @throws {AppError} ERR_CONFIG_INVALID, ERR_ADDRESS_IN_USE
 */
export async function startOrigin(config: OriginConfig, deps: OriginDeps): Promise<Origin> {
  const { clock, metrics } = deps;
  checkOriginConfig(config);
  const logger = deps.logger.child({ component: "origin" });
  const root = await openRoot(config.virtualDirectory.physicalPath);
  const stateDir = await makeStateDir(config.state ?? `${root}.state`);
  const stagingPath = config.bits.stagingPath ?? join(stateDir, "uploads");
  // Elsewhere the account may have no right to write among the images.
  if (config.bits.BITSUploadEnabled) await prepareStaging(stagingPath, root, logger);
  const fleetKey =
    config.fleetKeyFile === undefined ? undefined : await readKeyFile(config.fleetKeyFile, "fleetKeyFile");
  const places = new RequestPlaces(new SiteMap(config.sites ?? {}));
  const log = config.logFile.enabled
    ? new W3cLog(config.logFile.directory ?? join(stateDir, "logs"), clock, logger)
    : undefined;
  const audit = new AuditLog(stateDir, logger);
  const catalogue = new Catalogue();
  const openFiles = new OpenFiles(clock, logger);
  const live = await LiveAccess.open(config, { clock, logger, audit: new LogonAudit(audit, clock) });
  const { access } = live;
  let current = config;
  let publishers = parsePublishers(config.publishers);
  const publications = new Publications({ catalogue, openFiles, audit, metrics, clock });
  const cache = await CatalogueCache.load(stateDir, logger);
  const opaqueIndexes = await OpaqueIndexes.open(stateDir);
  const journal = new DeletionJournal(stateDir, [root, opaqueIndexes.folder], logger);
  const controls = await OriginControls.open({
    root,
    stateDir,
    publishers: () => publishers,
    catalogue,
    openFiles,
    audit,
    clock,
    logger: deps.logger.child({ component: "control" }),
    metrics,
    onAliasMoved: (version) => {
      publications.aliasMoved(version);
      deltas.review();
    },
  });
  const deltas = await OriginDeltas.open({
    root,
    stateDir,
    config: config.deltas,
    settleMs: config.publish.settleMs,
    publishers: () => publishers,
    catalogue,
    openFiles,
    audit,
    clock,
    logger: deps.logger.child({ component: "deltas" }),
    metrics,
    inTurn: (change) => gate.inTurn(change),
    onAliasMoved: (version) => publications.aliasMoved(version),
  });
  const prove: ProvePairOptions = {
    publishers: () => publishers,
    opaqueIndexes,
    verify: verifyInWorker,
    clock,
  };
  const gate = new PublishGate({
    root,
    ...config.publish,
    ...prove,
    catalogue,
    cache,
    lookAtControls: (found) => controls.records.look(found),
    lookAtDeltas: (found) => deltas.look(found),
    logger: deps.logger.child({ component: "gate" }),
    beforePublish: (version, seenAt) => deltas.beforePublish(version, seenAt),
    onPublished: (version, news) => {
      publications.added(version, news);
      deltas.review();
    },
    onRemoved: (version, news) => {
      publications.removed(version, news);
      deltas.review();
    },
  });
  await journal.resume();
  await gate.start();
  deltas.start();
  const uploads = await Uploads.open({
    folder: join(stagingPath, "closed"),
    root,
    gate,
    catalogue,
    cache,
    prove,
    clock,
    logger: deps.logger.child({ component: "uploads" }),
    audit,
    allowOverwrites: () => current.bits.BITSAllowOverwrites,
    settleMs: config.publish.settleMs * LONE_SETTLE_FACTOR,
    // A half waits for the other one as long as a session may wait for its client.
    holdMs: () => current.bits.BITSSessionTimeout * 1000,
    onGone: (file) => openFiles.evict(file),
  });
  let bits: BitsServer;
  try {
    bits = await openBitsServer(config.bits, {
      root,
      stagingPath,
      directoryName: config.virtualDirectory.name,
      access,
      intake: uploads,
      audit,
      clock,
      logger: deps.logger,
      metrics,
    });
  } catch (err) {
    await Promise.all([gate.close(), deltas.close(), uploads.close(), live.close()]);
    throw err;
  }
  const upgrades = new Map<string, UpgradeHandler>();
  const remover = new ImageRemover({ catalogue, controls, gate, journal, audit, clock, logger });
  const startedAt = clock.wall();
  let isClosing = false;
  const parts: ListenerParts = {
    access,
    recorder: new RequestRecorder({ clock, metrics, log }),
    files: {
      catalogue,
      controls,
      openFiles,
      places,
      transfers: new TransferGate({ limits: transferLimits(config), clock, random: deps.random, metrics }),
      logger,
      directoryName: config.virtualDirectory.name,
      directoryBrowse: config.virtualDirectory.directoryBrowse,
      publicCache: config.virtualDirectory.publicCache,
      findStaged: async (key, user) =>
        (await uploads.findStaged(key, user)) ?? (user === undefined ? undefined : bits.findReply(key, user)),
    },
    addRoutes: (app, visitorOf) => {
      addApiRoutes(app, {
        catalogue,
        controls,
        deltas,
        access,
        gateStatus: () => {
          const status = gate.status();
          const ofDeltas = deltas.status();
          return {
            ...status,
            refused: [...status.refused, ...ofDeltas.refused, ...controls.records.refusals()],
            waiting: [...status.waiting, ...ofDeltas.waiting],
            checking: status.checking ?? ofDeltas.checking,
            makingDelta: ofDeltas.making,
          };
        },
        siteMap: () => places.siteMap,
        fleetKey,
        clock,
        startedAt,
        visitorOf,
        metricsText: metrics.text,
      });
      addImageRoutes(app, { catalogue, controls, deltas, cache, openFiles, remover, visitorOf });
      addControlRoutes(app, { catalogue, controls, visitorOf });
      addUploadRoutes(app, {
        uploads,
        dropSession: (id, actor) => bits.drop(id, actor),
        directoryName: config.virtualDirectory.name,
        visitorOf,
      });
    },
    refreshAccounts: () => live.refresh(),
    upgrades,
    bits: bits.handler,
    isClosing: () => isClosing,
    maxConnections: config.limits.maxConnections,
    clock,
    logger,
  };
  let opened: readonly Listener[];
  try {
    opened = await openListeners(config, parts, live.certificates);
  } catch (err) {
    await Promise.all([gate.close(), deltas.close(), bits.close(0), uploads.close(), live.close()]);
    throw err;
  }
  const tlsWatch = watchTls(config, opened, clock, logger);
  const urls = opened.map(
    ({ isTls, address }) =>
      `${isTls ? "https" : "http"}://${formatListen(address)}/${config.virtualDirectory.name}`,
  );
  warnOfSettings(config, logger);
  logger.info({ urls, root, state: stateDir }, "origin is ready");
  let reloading: Promise<unknown> = Promise.resolve();
  const reload = async (next: OriginConfig): Promise<ReloadPlan> => {
    if (isClosing) throw new AppError("ERR_SHUTTING_DOWN", "the origin is stopping");
    checkOriginConfig(next);
    const plan = planReload(current, next);
    const siteMap = new SiteMap(next.sites ?? {});
    const replaceBits = await bits.prepare(next.bits);
    await live.replace(next);
    replaceBits();
    places.replace(siteMap);
    tlsWatch.look();
    if (plan.changed.includes("publishers")) {
      publishers = parsePublishers(next.publishers);
      gate.retryRefused();
      deltas.retryRefused();
      controls.records.lookAgain();
    }
    for (const listener of opened) listener.setMaxConnections(next.limits.maxConnections);
    current = next;
    return plan;
  };
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    isClosing = true;
    tlsWatch.stop();
    await Promise.all([
      gate.close(),
      deltas.close(),
      uploads.close(),
      ...opened.map((listener) => listener.close(current.limits.drainMs)),
    ]);
    await Promise.all([parts.recorder.idle(LAST_WORDS_MS), bits.close(LAST_WORDS_MS)]);
    openFiles.close();
    await controls.close();
    await Promise.all([log?.close(), audit.close(), live.close()]);
    logger.info({}, "origin has stopped");
  };
  return {
    urls,
    onPublished: (listener) => publications.subscribe(listener),
    mountUpgrade: (path, handler) => {
      upgrades.set(path.toLowerCase(), handler);
    },
    issueOriginTicket: (peerId) => {
      if (fleetKey === undefined) {
        throw new AppError(
          "ERR_CONFIG_INVALID",
          "fleetKeyFile is missing: the tracker asks for a ticket of the fleet key",
        );
      }
      const expires = Math.round(clock.wall()) + TICKET_LIFETIME_MS;
      return issueTicket(fleetKey, { peerId, user: "origin", role: "origin", expires });
    },
    reload: (next) => {
      const turn = inTurn(reloading, async () => reload(next));
      reloading = turn;
      return turn;
    },
    close: () => (closing ??= close()),
  };
}

/** Runs `work` when `before` has ended, however it did: whoever began that is told. */
async function inTurn<T>(before: Promise<unknown>, work: () => Promise<T>): Promise<T> {
  await before.catch(() => undefined);
  return work();
}

function transferLimits({ limits }: OriginConfig): FairQueueLimits {
  return {
    maxTransfers: limits.maxTransfers,
    maxWaiting: limits.maxWaitingPerSite,
    maxWaitMs: limits.transferWaitMs,
  };
}

function parsePublishers(publishers: readonly string[]): readonly Uint8Array[] {
  return publishers.flatMap((text) => fromHex(text, 32) ?? []);
}
