import { join } from "node:path";
import { AppError, wait } from "@ckmesh/core";
import { Identity, OriginHttp, PeerTransport } from "@ckmesh/net";
import { parseListen, readKeyFile } from "@ckmesh/runtime";
import { ImageStore, IoPacer, type VersionFiles } from "@ckmesh/store";
import { asAppError } from "./as-app-error.js";
import { Client, type OnceResult } from "./client.js";
import type { ClientContext, ClientDeps } from "./client-context.js";
import { type ClientMetrics, createClientMetrics } from "./client-metrics.js";
import { type ClientSettings, readSettings } from "./config/client-settings.js";
import type { ClientConfig } from "./config/config-schema.js";
import type { ControlRequest } from "./control/control-request.js";
import { LocalApi } from "./control/local-api.js";
import { Housekeeping } from "./housekeeping.js";
import { fetchTicket } from "./peers/fetch-ticket.js";
import { PeerDiscovery } from "./peers/peer-discovery.js";
import { Reachability } from "./peers/reachability.js";
import { SwarmDirectory } from "./peers/swarm-directory.js";
import { firstCheckMs } from "./poll/first-check.js";
import { openPollLoop } from "./poll/open-poll-loop.js";
import type { PollLoop } from "./poll/poll-loop.js";
import { OutcomeReporter } from "./rollout/outcome-reporter.js";
import { StagingFolder } from "./staging/staging-folder.js";
import type { ClientStatus } from "./status.js";
import { HostTrim } from "./trim/host-trim.js";
import { WanControl } from "./wan/wan-control.js";

export interface RunningClient {
  /** With `once`: settles when the work is done (or cannot be); without: when the client is closed. */
  readonly done: Promise<OnceResult>;
  /** Where peers connect; 0: nowhere. */
  readonly peerPort: number;
  status(): ClientStatus;
  /** Looks at the origin as soon as possible. */
  check(): void;
  /** Stops everything; what was fetched stays. Safe to call twice. */
  close(): Promise<void>;
}

/**
 * Starts a client on its store.
 * @throws {AppError} ERR_CONFIG_INVALID, ERR_ADDRESS_IN_USE, ERR_STORE_BUSY
 */
export async function startClient(config: ClientConfig, deps: ClientDeps): Promise<RunningClient> {
  const settings = await readSettings(config);
  const { ioRate } = settings;
  const background = ioRate === undefined ? {} : { io: new IoPacer(ioRate, deps.clock) };
  const store = await ImageStore.open(config.store, { ...deps, background });
  const run = new ClientRun(config, settings, deps, store);
  try {
    await run.open();
  } catch (err) {
    await run.close();
    throw err;
  }
  return run;
}

/** The parts of a running client, and the order in which they start and stop. */
class ClientRun implements RunningClient {
  readonly #config: ClientConfig;
  readonly #settings: ClientSettings;
  readonly #deps: ClientDeps;
  readonly #store: ImageStore;
  readonly #metrics: ClientMetrics;
  readonly #directory = new SwarmDirectory();
  readonly #abort = new AbortController();
  readonly #reachability = new Reachability();
  /** In the order of opening; closed in the opposite one, the store last. */
  readonly #closers: (() => Promise<void> | void)[] = [];
  #client: Client | undefined;
  #origin: OriginHttp | undefined;
  #wan: WanControl | undefined;
  #trim: HostTrim | undefined;
  #loop: PollLoop | undefined;
  #discovery: PeerDiscovery | undefined;
  #peerId: string | undefined;
  #outcomes: OutcomeReporter | undefined;
  #finish: (result: Promise<OnceResult>) => void = () => {};
  #closing: Promise<void> | undefined;
  peerPort = 0;
  readonly done: Promise<OnceResult>;

  constructor(config: ClientConfig, settings: ClientSettings, deps: ClientDeps, store: ImageStore) {
    this.#config = config;
    this.#settings = settings;
    this.#deps = deps;
    this.#store = store;
    this.#metrics = createClientMetrics(deps.metrics);
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.done.catch(() => {}); // whoever asks for `done` hears of it
    this.#closers.push(() => store.close());
  }

  async open(): Promise<void> {
    const { clock, logger } = this.#deps;
    const origin = this.#openOrigin();
    this.#origin = origin;
    const identity = await Identity.load(join(this.#store.dir, "identity.pem"));
    this.#peerId = identity.peerIdHex;
    const transport = await this.#openTransport(identity);
    const wan = await WanControl.open({
      ...this.#deps,
      settings: this.#settings.wan,
      storeDir: this.#store.dir,
    });
    this.#wan = wan;
    this.#closers.push(() => wan.close());
    const outcomes = this.#openOutcomes(identity);
    this.#trim = this.#openTrim();
    const context = this.#createContext(origin, identity, transport, wan, outcomes);
    const client = new Client(context, this.#config.images);
    this.#client = client;
    this.#closers.push(() => client.close());
    const { once, images } = this.#config;
    const firstMs = once ? undefined : await firstCheckMs(this.#store, images, this.#deps.random);
    // With --once the first request is under way before anything that it does not need.
    if (once) this.#finish(this.#once(client));
    await this.#openDiscovery(origin, identity, wan, client);
    const api = await LocalApi.open(this.#store.dir, (request) => this.#control(request), { clock, logger });
    this.#closers.push(() => api.close());
    this.#keepHouse(client);
    if (!once) this.#openLoop(origin, client, identity.peerId, firstMs);
  }

  check(): void {
    this.#loop?.checkNow();
  }

  status(): ClientStatus {
    const site = this.#discovery?.site ?? this.#config.site;
    const tracker = this.#discovery?.trackerState;
    const inbound = this.#reachability.state(this.#deps.clock.now());
    return {
      store: this.#store.dir,
      running: true,
      origin: this.#config.origin,
      ...(site !== undefined && { site }),
      ...(tracker !== undefined && { tracker: tracker === "connected" ? "connected" : "away" }),
      peerPort: this.peerPort,
      ...(inbound !== undefined && { inbound }),
      ...(this.#peerId !== undefined && { peerId: this.#peerId }),
      ...(this.#loop !== undefined && { nextCheckAt: new Date(this.#loop.nextCheckWall).toISOString() }),
      ...(this.#wan !== undefined && { wan: this.#wan.status() }),
      ...(this.#trim !== undefined && { trim: this.#trim.status() }),
      ...(this.#client?.status() ?? { images: [] }),
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#abort.abort();
    const images = this.#client?.status().images ?? [];
    for (const closer of this.#closers.toReversed()) {
      try {
        await closer();
      } catch (err) {
        this.#deps.logger.warn({ err }, "part of the client not closed cleanly");
      }
    }
    this.#finish(Promise.resolve({ images }));
  }

  #openOrigin(): OriginHttp {
    const origin = new OriginHttp({
      ...this.#settings.access,
      baseUrl: this.#config.origin,
      logger: this.#deps.logger.child({ component: "origin-http" }),
      clock: this.#deps.clock,
      site: () => this.#discovery?.site ?? this.#config.site,
    });
    this.#closers.push(() => origin.close());
    return origin;
  }

  #openOutcomes(identity: Identity): OutcomeReporter {
    const { clock, random, logger } = this.#deps;
    const link = { ...this.#settings.access, baseUrl: this.#config.origin, clock };
    const outcomes = new OutcomeReporter({ link, client: identity.peerIdHex, clock, random, logger });
    this.#outcomes = outcomes;
    this.#closers.push(() => outcomes.close());
    return outcomes;
  }

  #openTrim(): HostTrim | undefined {
    const settings = this.#settings.trim;
    if (settings === undefined) return undefined;
    const trim = new HostTrim({ ...this.#deps, settings, store: this.#store });
    this.#closers.push(() => trim.close());
    return trim;
  }

  async #openTransport(identity: Identity): Promise<PeerTransport> {
    const { clock, random, logger } = this.#deps;
    const { allowLoopbackPeers, peerClass, allowOpenSwarm } = this.#config;
    const isSwarming = this.#settings.isOriginPrivate || allowOpenSwarm;
    const transport = new PeerTransport({
      identity,
      ...(isSwarming && { listen: parseListen(this.#config.listen) }),
      allowLoopback: allowLoopbackPeers,
      peerClass,
      clock,
      random,
      logger: logger.child({ component: "peers" }),
    });
    this.#closers.push(() => transport.close());
    this.peerPort = (await transport.listen()).port;
    return transport;
  }

  #createContext(
    origin: OriginHttp,
    identity: Identity,
    transport: PeerTransport,
    wan: WanControl,
    outcomes: OutcomeReporter,
  ): ClientContext {
    const { clock, random, logger } = this.#deps;
    const { preStage } = this.#config;
    return {
      clock,
      random,
      logger,
      metrics: this.#metrics,
      store: this.#store,
      origin,
      isOriginPrivate: this.#settings.isOriginPrivate,
      wan,
      trust: this.#settings.trust,
      follower: { id: identity.peerIdHex, groups: this.#config.groups },
      outcomes,
      peers: {
        identity,
        transport,
        peerClass: this.#config.peerClass,
        port: this.peerPort,
        allowLoopback: this.#config.allowLoopbackPeers,
        allowOpenSwarm: this.#config.allowOpenSwarm,
        directory: this.#directory,
        remember: (peer) => this.#discovery?.remember(peer),
        met: (link) => this.#reachability.linked(link, clock.now()),
      },
      settings: this.#settings.images,
      staging: preStage === undefined ? undefined : new StagingFolder({ folder: preStage, clock, logger }),
      trim: this.#trim,
      changed: () => this.#deps.onChange?.(),
      openPacks: new Map<string, VersionFiles>(),
    };
  }

  async #openDiscovery(
    origin: OriginHttp,
    identity: Identity,
    wan: WanControl,
    client: Client,
  ): Promise<void> {
    const { joinKeyFile, tracker, site, siteNetworks, peerClass, allowLoopbackPeers } = this.#config;
    const discovery = await PeerDiscovery.open({
      ...this.#deps,
      directory: this.#directory,
      identity,
      wan,
      peerClass,
      peerPort: this.peerPort,
      memoryPath: join(this.#store.dir, "peers.json"),
      site,
      siteNetworks,
      allowLoopback: allowLoopbackPeers,
      lanAnnounce: this.#config.lanAnnounce,
      tracker,
      ticket: () => fetchTicket(origin, identity.peerIdHex, this.#abort.signal),
      joinKey: joinKeyFile === undefined ? undefined : await readKeyFile(joinKeyFile, "joinKeyFile"),
      ca: this.#settings.access.ca,
      proxy: this.#settings.access.proxy,
      published: (image, version) => {
        client.published(image, version);
      },
    });
    this.#discovery = discovery;
    this.#closers.push(() => discovery.close());
  }

  #keepHouse(client: Client): void {
    const { clock, logger } = this.#deps;
    const house = new Housekeeping({
      client,
      discovery: this.#discovery,
      reachability: this.#reachability,
      metrics: this.#metrics,
      peerPort: this.peerPort,
      clock,
      logger,
    });
    this.#closers.push(() => house.close());
  }

  #openLoop(origin: OriginHttp, client: Client, peerId: Uint8Array, firstMs: number | undefined): void {
    const loop = openPollLoop({ ...this.#deps, config: this.#config, origin, client, peerId, firstMs });
    this.#loop = loop;
    this.#closers.push(() => loop.close());
    loop.start();
    client.openStored().catch((err: unknown) => {
      this.#deps.logger.error({ err }, "store not opened");
    });
  }

  async #control(request: ControlRequest): Promise<unknown> {
    if (request.command === "check") {
      // A person asks: they may know that the account is unlocked again.
      this.#origin?.forgiveRefusal();
      this.check();
    } else if (request.command === "limit") await this.#wan?.override(request.cap, request.forMs);
    else if (request.command === "import") return await this.#client?.importFrom(request.folder);
    else if (request.command !== "status") await this.#client?.control(request);
    return this.status();
  }

  async #once(client: Client): Promise<OnceResult> {
    const opened = client.openStored();
    try {
      await client.checkAll(this.#abort.signal);
      await opened;
    } catch (err) {
      await opened;
      // Peers may have the rest of what was begun, or a folder all of it.
      if (!client.isFetching && !client.hasTakenStaged) throw err;
      this.#deps.logger.warn({ err: asAppError(err) }, "origin not asked; what was begun goes on");
    }
    await client.settled();
    await this.#outcomes?.flush();
    if (this.#config.seedFor > 0) {
      await wait(this.#deps.clock, this.#config.seedFor * 1000, this.#abort.signal);
    }
    const { images } = client.status();
    if (images.length === 0)
      throw new AppError("ERR_IMAGE_NOT_FOUND", "the origin's catalogue has no images");
    return { images };
  }
}
