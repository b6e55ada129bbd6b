import { X509Certificate } from "node:crypto";
import { AppError, type Clock, describeError, type Logger, type Random } from "@ckmesh/core";
import type { FromTracker, PeerAddress, PeerClass } from "@ckmesh/wire";
import type { ProxySettings } from "./origin/proxy.js";

export interface TrackerLinkOptions {
  /** `ws(s)://host[:port][/path]` */
  readonly url: string;
  /** 32 bytes. */
  readonly peerId: Uint8Array;
  readonly peerClass: PeerClass;
  /** The port on which peers can connect; 0 = none. Asked at each connect. */
  readonly peerPort: () => number;
  /** Own private addresses and own subnets (CIDR), most important first. Asked at each connect. */
  readonly whereabouts: () => { readonly addresses: readonly string[]; readonly subnets: readonly string[] };
  /** Site label of the configuration. */
  readonly site?: string;
  /**
   * A ticket of the origin, asked for at each connect; undefined when the origin has none to give. When it
   * rejects, the last ticket is tried, else hello goes without: the tracker may be open.
   */
  readonly ticket?: () => Promise<Uint8Array | undefined>;
  readonly joinKey?: Uint8Array;
  /** Certificates to trust instead of the system's, PEM. */
  readonly ca?: string | Uint8Array;
  /** On the way to `wss://`; `ws://` goes without. */
  readonly proxy?: ProxySettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly handler: TrackerLinkHandler;
}

/** What a tracker link tells its owner; none of it may be needed to finish a download. */
export interface TrackerLinkHandler {
  welcome?(welcome: Extract<FromTracker, { type: "welcome" }>): void;
  /** `swarm` as it was announced. The addresses are untrusted: they go through the dial policy. */
  peers?(swarm: Uint8Array, peers: readonly PeerAddress[], complete: boolean): void;
  published?(image: string, version: number): void;
  status?(status: TrackerLinkStatus): void;
}

export interface TrackerLinkStatus {
  readonly state: "connecting" | "connected" | "waiting" | "closed";
  /** Site as the tracker sees it, while connected. */
  readonly site?: string;
  /** Why there is no connection. */
  readonly lastError?: string;
}

/**
 * Checks what would otherwise fail at each connect.
 * @throws {AppError} ERR_CONFIG_INVALID
 */
export function checkTrackerLinkOptions({ url: text, ca }: Pick<TrackerLinkOptions, "url" | "ca">): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isTracker = url?.protocol === "ws:" || url?.protocol === "wss:";
  if (url === undefined || !isTracker || url.username !== "" || url.password !== "" || url.hash !== "") {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `tracker: ${JSON.stringify(text)} is no tracker; write for example wss://tracker.example:7660`,
    );
  }
  try {
    // Only the first of several; TLS itself passes over what it cannot read without a word.
    if (ca !== undefined) void new X509Certificate(asCa(ca));
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `ca: no certificates in PEM: ${describeError(cause)}`, {
      cause,
    });
  }
}

/** As Node's TLS takes it. */
export function asCa(ca: string | Uint8Array): string | Buffer {
  return typeof ca === "string" ? ca : Buffer.from(ca);
}
