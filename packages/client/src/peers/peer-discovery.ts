import type { Clock, Logger, Random } from "@ckmesh/core";
import { type Identity, LanAnnouncer, TrackerLink, type TrackerLinkStatus } from "@ckmesh/net";
import type { PeerAddress, PeerClass, ProgressReport } from "@ckmesh/wire";
import type { OriginAccess } from "../config/origin-config.js";
import type { WanControl } from "../wan/wan-control.js";
import { WanNotices } from "../wan/wan-notices.js";
import { ownNetworks } from "./own-networks.js";
import { PeerMemory } from "./peer-memory.js";
import type { SwarmDirectory } from "./swarm-directory.js";
import { TrackerAnnouncer } from "./tracker-announcer.js";

export interface PeerDiscoveryOptions {
  readonly directory: SwarmDirectory;
  readonly identity: Pick<Identity, "peerId" | "peerIdHex">;
  readonly wan: Pick<WanControl, "pacer">;
  readonly peerClass: PeerClass;
  /** Where peers connect; 0: nowhere. */
  readonly peerPort: number;
  /** File of the addresses of earlier runs. */
  readonly memoryPath: string;
  /** Site label of the configuration. */
  readonly site: string | undefined;
  /** Networks of the site by configuration, CIDR. */
  readonly siteNetworks: readonly string[];
  readonly allowLoopback: boolean;
  readonly lanAnnounce: boolean;
  readonly tracker: string | undefined;
  readonly ticket: () => Promise<Uint8Array | undefined>;
  readonly joinKey: Uint8Array | undefined;
  readonly ca: string | undefined;
  readonly proxy: OriginAccess["proxy"];
  readonly published: (image: string, version: number) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** All sources of peer addresses: tracker, multicast, earlier runs; and what is known of the own networks. */
export class PeerDiscovery {
  readonly #options: PeerDiscoveryOptions;
  readonly #memory: PeerMemory;
  readonly #tracker: { readonly link: TrackerLink; readonly announcer: TrackerAnnouncer } | undefined;
  readonly #lan: { readonly announcer: LanAnnouncer; readonly notices: WanNotices } | undefined;
  #siteNetworks: readonly string[] = [];
  #site: string | undefined;

  private constructor(options: PeerDiscoveryOptions, memory: PeerMemory) {
    this.#options = options;
    this.#memory = memory;
    this.#site = options.site;
    options.directory.setRemembered(memory.peers);
    this.#setNetworks();
    this.#tracker = options.tracker === undefined ? undefined : this.#openTracker(options.tracker);
    this.#lan = options.lanAnnounce && options.peerPort !== 0 ? this.#openLan() : undefined;
  }

  /** @throws {AppError} ERR_CONFIG_INVALID */
  static async open(options: PeerDiscoveryOptions): Promise<PeerDiscovery> {
    return new PeerDiscovery(options, await PeerMemory.load(options.memoryPath, options.logger));
  }

  /** The site as the tracker sees it, else the label of the configuration. */
  get site(): string | undefined {
    return this.#site;
  }

  get trackerState(): TrackerLinkStatus["state"] | undefined {
    return this.#tracker?.link.status.state;
  }

  /** An address that a link was made to. */
  remember(peer: PeerAddress): void {
    this.#memory.add(peer);
    this.#options.directory.noteRemembered(this.#memory.peers);
  }

  report(report: ProgressReport): void {
    this.#tracker?.link.report(report);
  }

  /** Now and then: interfaces come and go, the tracker is told what is held, linked peers are remembered. */
  async refresh(): Promise<void> {
    this.#setNetworks();
    this.#tracker?.announcer.refresh(this.#options.directory);
    await this.#memory.save();
  }

  async close(): Promise<void> {
    await this.#tracker?.link.close();
    this.#lan?.notices.close();
    await this.#lan?.announcer.close();
    await this.#memory.save();
  }

  #setNetworks(): void {
    const { directory, siteNetworks, allowLoopback } = this.#options;
    directory.setNetworks(ownNetworks(allowLoopback).subnets, [...siteNetworks, ...this.#siteNetworks]);
  }

  #openTracker(url: string): { link: TrackerLink; announcer: TrackerAnnouncer } {
    const {
      identity,
      peerClass,
      peerPort,
      site,
      allowLoopback,
      ticket,
      joinKey,
      ca,
      proxy,
      clock,
      random,
      logger,
    } = this.#options;
    const { directory, published } = this.#options;
    const link = new TrackerLink({
      url,
      peerId: identity.peerId,
      peerClass,
      peerPort: () => peerPort,
      whereabouts: () => ownNetworks(allowLoopback),
      ...(site !== undefined && { site }),
      ticket,
      ...(joinKey !== undefined && { joinKey }),
      ...(ca !== undefined && { ca }),
      ...(proxy !== undefined && { proxy }),
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
          directory.found(swarm, "tracker", peers, complete);
        },
        published,
      },
    });
    const announcer = new TrackerAnnouncer(link);
    directory.addAnnouncer(announcer);
    link.start();
    return { link, announcer };
  }

  #openLan(): { announcer: LanAnnouncer; notices: WanNotices } {
    const { directory, identity, wan, site, peerPort, clock, random, logger } = this.#options;
    const lan: LanAnnouncer = new LanAnnouncer({
      clock,
      random,
      logger: logger.child({ component: "lan" }),
      port: peerPort,
      found: (swarm, peer) => {
        directory.found(swarm, "lan", [peer]);
      },
      heardWan: (notice, from) => {
        notices.heard(notice, from);
      },
    });
    const notices = new WanNotices({ clock, pacer: wan.pacer, lan, peerId: identity.peerIdHex, site });
    directory.addAnnouncer({
      swarmsChanged: (members) => {
        lan.setSwarms(members.map(({ swarm }) => swarm));
      },
    });
    return { announcer: lan, notices };
  }
}
