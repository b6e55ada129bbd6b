import { join } from "node:path";
import { AppError, isAppError } from "@ckmesh/core";
import { Identity, OriginHttp, PeerTransport, TrackerLink } from "@ckmesh/net";
import { parseListen, readKeyFile } from "@ckmesh/runtime";
import { ImageStore, type VersionFiles } from "@ckmesh/store";
import { PollSchedule } from "@ckmesh/swarm";
import { Client, type OnceResult } from "./client.js";
import type { ClientContext, ClientDeps } from "./client-context.js";
import { createClientMetrics } from "./client-metrics.js";
import { type ClientSettings, readSettings } from "./client-settings.js";
import type { ClientConfig } from "./config-schema.js";
import type { ControlRequest } from "./control-request.js";
import { LocalApi } from "./local-api.js";
import { ownNetworks } from "./own-networks.js";
import { PeerMemory } from "./peer-memory.js";
import { PollLoop } from "./poll-loop.js";
import type { ClientStatus } from "./status.js";
import { SwarmDirectory } from "./swarm-directory.js";
import { TokenBucket, wait } from "./token-bucket.js";
import { TrackerAnnouncer } from "./tracker-announcer.js";
import { asAppError } from "./version-swarm.js";

/** Own networks, remembered peers and reports are looked after this often. */
const HOUSEKEEPING_MS = 10_000;

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
 * @throws {AppError} ERR_CONFIG_INVALID, ERR_STORE_BUSY
 */
export async function startClient(config: ClientConfig, deps: ClientDeps): Promise<RunningClient> {
  const settings = await readSettings(config);
  const store = await ImageStore.open(config.store, deps);
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
  readonly #origin: OriginHttp;
  readonly #directory = new SwarmDirectory();
  readonly #abort = new AbortController();
  readonly #closers: (() => Promise<void> | void)[] = [];
  #client: Client | undefined;
  #loop: PollLoop | undefined;
  #tracker: { readonly link: TrackerLink; readonly announcer: TrackerAnnouncer } | undefined;
  #memory: PeerMemory | undefined;
  #siteNetworks: readonly string[] = [];
  #site: string | undefined;
  #peerId: string | undefined;
  #finish: (result: Promise<OnceResult>) => void = () => {};
  #closing: Promise<void> | undefined;
  peerPort = 0;
  readonly done: Promise<OnceResult>;

  constructor(config: ClientConfig, settings: ClientSettings, deps: ClientDeps, store: ImageStore) {
    this.#config = config;
    this.#settings = settings;
    this.#deps = deps;
    this.#store = store;
    this.#site = config.site;
    this.done = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.done.catch(() => {}); // whoever asks for `done` hears of it
    this.#closers.push(() => store.close());
    this.#origin = new OriginHttp({
      baseUrl: config.origin,
      ...(settings.credentials && { credentials: settings.credentials }),
      ...(settings.ca !== undefined && { ca: settings.ca }),
      allowBasicOverHttp: config.allowBasicOverHttp,
      logger: deps.logger.child({ component: "origin-http" }),
      clock: deps.clock,
      ...(config.site !== undefined && { site: config.site }),
    });
    this.#closers.push(() => this.#origin.close());
  }

  async open(): Promise<void> {
    const { clock, random, logger } = this.#deps;
    const identity = await Identity.load(join(this.#store.dir, "identity.pem"));
    this.#peerId = identity.peerIdHex;
    this.#memory = await PeerMemory.load(join(this.#store.dir, "peers.json"), logger);
    this.#directory.setRemembered(this.#memory.peers);
    const transport = await this.#openTransport(identity);
    const client = new Client(this.#createContext(identity, transport), this.#config.images);
    this.#client = client;
    this.#closers.push(() => client.close());
    this.#setNetworks();
    const isEmpty = (await this.#store.images()).length === 0;
    this.#openTracker(identity, await this.#readJoinKey());
    const api = await LocalApi.open(this.#store.dir, (request) => this.#control(request), { clock, logger });
    this.#closers.push(() => api.close());
    this.#keepHouse();
    if (this.#config.once) {
      this.#finish(this.#once(client));
      return;
    }
    this.#loop = new PollLoop(
      new PollSchedule({
        random,
        now: clock.now(),
        wall: clock.wall(),
        intervalMs: this.#config.pollSeconds * 1000,
        // A new machine has nothing to wait for.
        ...(isEmpty && { firstMs: 0 }),
      }),
      clock,
      logger,
      (signal) => client.checkAll(signal),
    );
    this.#closers.push(() => this.#loop?.close());
    this.#loop.start();
    client.openStored().catch((err: unknown) => {
      logger.error({ err }, "store not opened");
    });
  }

  check(): void {
    this.#loop?.checkNow();
  }

  status(): ClientStatus {
    const tracker = this.#tracker?.link.status.state;
    return {
      store: this.#store.dir,
      running: true,
      origin: this.#config.origin,
      ...(this.#site !== undefined && { site: this.#site }),
      ...(tracker !== undefined && { tracker: tracker === "connected" ? "connected" : "away" }),
      peerPort: this.peerPort,
      ...(this.#peerId !== undefined && { peerId: this.#peerId }),
      ...(this.#loop !== undefined && { nextCheckAt: new Date(this.#loop.nextCheckWall).toISOString() }),
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
    await this.#memory?.save();
    // Last opened, first closed: the store goes last.
    for (const closer of this.#closers.toReversed()) {
      try {
        await closer();
      } catch (err) {
        this.#deps.logger.warn({ err }, "part of the client not closed cleanly");
      }
    }
    this.#finish(Promise.resolve({ images }));
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

  #createContext(identity: Identity, transport: PeerTransport): ClientContext {
    const { clock, random, logger, metrics } = this.#deps;
    const rate = this.#settings.wanBytesPerSec;
    return {
      clock,
      random,
      logger,
      metrics: createClientMetrics(metrics),
      store: this.#store,
      origin: this.#origin,
      isOriginPrivate: this.#settings.isOriginPrivate,
      budget: rate === undefined ? undefined : new TokenBucket(rate, clock),
      trust: this.#settings.trust,
      peers: {
        identity,
        transport,
        peerClass: this.#config.peerClass,
        port: this.peerPort,
        allowLoopback: this.#config.allowLoopbackPeers,
        allowOpenSwarm: this.#config.allowOpenSwarm,
        directory: this.#directory,
        remember: (peer) => this.#memory?.add(peer),
      },
      settings: this.#settings.images,
      openPacks: new Map<string, VersionFiles>(),
      onChange: () => {},
    };
  }

  async #readJoinKey(): Promise<Uint8Array | undefined> {
    const { joinKeyFile } = this.#config;
    return joinKeyFile === undefined ? undefined : await readKeyFile(joinKeyFile, "joinKeyFile");
  }

  #openTracker(identity: Identity, joinKey: Uint8Array | undefined): void {
    const { clock, random, logger } = this.#deps;
    const { tracker: url, site, allowLoopbackPeers } = this.#config;
    if (url === undefined) return;
    const link = new TrackerLink({
      url,
      peerId: identity.peerId,
      peerClass: this.#config.peerClass,
      peerPort: () => this.peerPort,
      whereabouts: () => ownNetworks(allowLoopbackPeers),
      ...(site !== undefined && { site }),
      ticket: () => this.#fetchTicket(identity.peerIdHex),
      ...(joinKey !== undefined && { joinKey }),
      ...(this.#settings.ca !== undefined && { ca: this.#settings.ca }),
      clock,
      random,
      logger: logger.child({ component: "tracker-link" }),
      handler: {
        welcome: (welcome) => {
          this.#site = welcome.site;
          this.#siteNetworks = welcome.networks;
          this.#setNetworks();
        },
        peers: (swarm, peers, complete) => {
          this.#directory.found(swarm, "tracker", peers, complete);
        },
        published: (image, version) => {
          this.#client?.published(image, version);
        },
      },
    });
    const announcer = new TrackerAnnouncer(link);
    this.#tracker = { link, announcer };
    this.#closers.push(() => link.close());
    this.#directory.addAnnouncer(announcer);
    link.start();
  }

  /** Undefined from a stock server: the join key, if any, has to do. */
  async #fetchTicket(peerIdHex: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#origin.fetchTicket(peerIdHex, this.#abort.signal);
    } catch (err) {
      if (isAppError(err, "ERR_IMAGE_NOT_FOUND") || isAppError(err, "ERR_ORIGIN_INVALID")) return undefined;
      throw err;
    }
  }

  async #control(request: ControlRequest): Promise<unknown> {
    switch (request.command) {
      case "status":
        return this.status();
      case "check":
        this.check();
        return this.status();
      case "accept":
      case "rollback":
        await this.#client?.control(request);
        return this.status();
    }
  }

  async #once(client: Client): Promise<OnceResult> {
    const { clock } = this.#deps;
    const opened = client.openStored();
    try {
      await client.checkAll(this.#abort.signal);
      await opened;
    } catch (err) {
      await opened;
      // Peers may have the rest of what was begun.
      if (!client.isFetching) throw err;
      this.#deps.logger.warn({ err: asAppError(err) }, "origin not asked; what was begun goes on");
    }
    await client.settled();
    if (this.#config.seedFor > 0) await wait(clock, this.#config.seedFor * 1000, this.#abort.signal);
    const { images } = client.status();
    if (images.length === 0)
      throw new AppError("ERR_IMAGE_NOT_FOUND", "the origin's catalogue has no images");
    return { images };
  }

  #setNetworks(): void {
    const { subnets } = ownNetworks(this.#config.allowLoopbackPeers);
    this.#directory.setNetworks(subnets, [...this.#config.siteNetworks, ...this.#siteNetworks]);
  }

  /** Interfaces come and go; the tracker is told what is held; linked peers are remembered. */
  #keepHouse(): void {
    let cancel: (() => void) | undefined;
    const again = (): void => {
      cancel = this.#deps.clock.after(HOUSEKEEPING_MS, () => {
        this.#setNetworks();
        this.#tracker?.announcer.refresh(this.#directory);
        this.#report();
        void this.#memory?.save();
        again();
      });
    };
    again();
    this.#closers.push(() => {
      cancel?.();
    });
  }

  #report(): void {
    for (const image of this.#client?.status().images ?? []) {
      const [newest] = image.versions;
      if (newest === undefined) continue;
      const { previous, delta, host, peers, origin } = newest.bytes;
      const { rejected, duplicate, retried } = newest.wasted;
      this.#tracker?.link.report({
        image: image.name,
        version: newest.version,
        state: newest.state,
        have: newest.haveRows,
        rows: newest.rows,
        bytes: { previous, delta, host, peers, origin, wasted: rejected + duplicate + retried },
      });
    }
  }
}
