import { BlockList, isIP } from "node:net";
import { AppError, type Clock, type Logger, type Random, toHex } from "@ckmesh/core";
import type { PeerAddress, PeerClass } from "@ckmesh/wire";
import { ClaimVerifier } from "./claim-verifier.js";
import type { Identity } from "./identity.js";
import { LINK_LIMITS, type LinkLimits } from "./link-limits.js";
import type { PeerConnection } from "./peer-connection.js";
import type { PeerLink } from "./peer-link.js";
import type { PeerSocket } from "./peer-socket.js";
import { dialPsk } from "./peer-tls.js";
import { PskListener } from "./psk-listener.js";
import type { RowSizes } from "./wire-guard.js";

export interface PeerTransportOptions {
  readonly identity: Identity;
  /** Absent: this client only dials. Port 0: any free one. */
  readonly listen?: { readonly host: string; readonly port: number };
  /** For tests and the demo: peers on this machine. */
  readonly allowLoopback?: boolean;
  readonly peerClass: PeerClass;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Most connections at a time, all swarms together, default 256. */
  readonly maxLinks?: number;
  /** Deadlines; the defaults are those of the specification. */
  readonly limits?: Partial<LinkLimits>;
}

/** One version of an image, as its peers see it. */
export interface TransportSwarm {
  /** 32 bytes. */
  readonly versionId: Uint8Array;
  /** 32 bytes; whoever knows it may read the image here. */
  readonly psk: Uint8Array;
  /** Public id, 32 bytes. */
  readonly swarm: Uint8Array;
  readonly layout: RowSizes;
  /** A proven, measured link, dialled or accepted. Call `start` on it or `close` it. The same peer may come twice. */
  onPeer(link: PeerLink): void;
}

export interface SwarmEndpoint {
  /**
   * Connects; the link comes through `onPeer` before this resolves.
   * @throws {AppError} ERR_TIMEOUT when nobody answers there or too slowly, ERR_PEER_REFUSED when the other
   *   side is no peer of this swarm (`details.isSelf`: it is this client), ERR_ABORTED
   */
  dial(peer: PeerAddress, signal: AbortSignal): Promise<void>;
  /** Closes the swarm's links; nobody gets in any more. */
  close(): Promise<void>;
}

interface Entry {
  readonly swarm: TransportSwarm;
  readonly key: { readonly identity: string; readonly psk: Uint8Array };
  readonly claims: ClaimVerifier;
  readonly connections: Set<PeerConnection>;
}

/**
 * The protocol library and all that hangs on it: about 100 ms to load, and nobody needs it before the first
 * link, while the first request to the origin must leave early.
 */
const loadConnection = () => import("./peer-connection.js");

const DEFAULT_MAX_LINKS = 256;

/** Addresses that no peer has; loopback is judged apart. */
const NEVER = new BlockList();
NEVER.addSubnet("0.0.0.0", 8, "ipv4");
NEVER.addSubnet("224.0.0.0", 3, "ipv4");
NEVER.addAddress("::", "ipv6");
NEVER.addSubnet("ff00::", 8, "ipv6");
const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** Connections between clients: one listener for all swarms, TLS 1.3 with the swarm's key, guarded messages. */
export class PeerTransport {
  readonly #options: PeerTransportOptions;
  readonly #limits: LinkLimits;
  /** By the hex of the public id, which is the TLS identity. */
  readonly #swarms = new Map<string, Entry>();
  #listener: PskListener | undefined;
  #port = 0;
  #links = 0;
  #isClosed = false;
  readonly #closing = new AbortController();

  constructor(options: PeerTransportOptions) {
    this.#options = options;
    this.#limits = { ...LINK_LIMITS, ...options.limits };
  }

  /**
   * Opens the listener; port 0 in the answer when none is configured.
   * @throws {AppError} ERR_ADDRESS_IN_USE; ERR_CONFIG_INVALID when the address cannot be listened on
   */
  async listen(): Promise<{ port: number }> {
    const { listen, clock, logger } = this.#options;
    if (listen === undefined) return { port: 0 };
    if (this.#listener !== undefined) return { port: this.#port };
    const listener = new PskListener({
      clock,
      handshakeMs: this.#limits.handshakeMs,
      lookUp: (identity) => this.#swarms.get(identity)?.key,
      accept: (socket, identity, since, settled) => this.#accept(socket, identity, since, settled),
      refused: (address, reason) => logger.debug({ address, reason }, "peer connection refused"),
      failed: (err) => logger.warn({ err }, "peer listener error"),
    });
    this.#listener = listener;
    this.#port = await listener.open(listen.host, listen.port);
    return { port: this.#port };
  }

  /** From now on peers of this version can connect. One call per version. */
  addSwarm(swarm: TransportSwarm): SwarmEndpoint {
    const identity = toHex(swarm.swarm);
    if (this.#isClosed || this.#swarms.has(identity)) throw new Error("unreachable: swarm added twice");
    const entry: Entry = {
      swarm,
      key: { identity, psk: swarm.psk },
      claims: new ClaimVerifier(swarm.versionId),
      connections: new Set(),
    };
    this.#swarms.set(identity, entry);
    const closing = new AbortController();
    return {
      dial: (peer, signal) =>
        this.#dial(entry, peer, AbortSignal.any([signal, closing.signal, this.#closing.signal])),
      close: async () => {
        closing.abort();
        this.#swarms.delete(identity);
        for (const connection of entry.connections) connection.close("swarm closed");
      },
    };
  }

  /** Closes the listener and every link. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#closing.abort();
    for (const entry of this.#swarms.values()) {
      for (const connection of entry.connections) connection.close("transport closed");
    }
    this.#swarms.clear();
    await this.#listener?.close();
  }

  async #dial(entry: Entry, peer: PeerAddress, signal: AbortSignal): Promise<void> {
    const { clock, allowLoopback } = this.#options;
    const since = clock.now();
    this.#checkAddress(peer, allowLoopback === true);
    if (this.#links >= (this.#options.maxLinks ?? DEFAULT_MAX_LINKS))
      throw refused("not dialled: too many peer links are open here");
    this.#links += 1;
    let socket: PeerSocket;
    let Connection: typeof PeerConnection;
    try {
      ({ PeerConnection: Connection } = await loadConnection());
      socket = await dialPsk({
        address: peer.address,
        port: peer.port,
        key: entry.key,
        timeoutMs: this.#limits.handshakeMs,
        clock,
        signal,
      });
    } catch (err) {
      this.#links -= 1;
      throw err;
    }
    await new Promise<void>((resolve, reject) => {
      const abort = (): void => connection.close("aborted");
      const stop = (): void => signal.removeEventListener("abort", abort);
      const connection = this.#connect(Connection, entry, socket, "dialer", since, {
        up() {
          stop();
          resolve();
        },
        failed(err) {
          stop();
          reject(signal.aborted ? new AppError("ERR_ABORTED", "dial aborted") : err);
        },
      });
      signal.addEventListener("abort", abort, { once: true });
      if (signal.aborted) abort();
    });
  }

  #accept(socket: PeerSocket, identity: string, since: number, settled: () => void): void {
    const entry = this.#swarms.get(identity);
    if (entry === undefined || this.#links >= (this.#options.maxLinks ?? DEFAULT_MAX_LINKS)) {
      socket.destroy();
      settled();
      return;
    }
    this.#links += 1;
    const { logger } = this.#options;
    const failed = (err: unknown): void => {
      settled();
      logger.debug({ err, address: socket.address }, "peer connection refused");
    };
    loadConnection()
      .then((module) => {
        if (this.#swarms.get(identity) !== entry) throw new Error("the swarm was closed meanwhile");
        return this.#connect(module.PeerConnection, entry, socket, "listener", since, {
          up: settled,
          failed,
        });
      })
      .catch((err: unknown) => {
        this.#links -= 1;
        socket.destroy();
        failed(err);
      });
  }

  #connect(
    Connection: typeof PeerConnection,
    entry: Entry,
    socket: PeerSocket,
    role: "dialer" | "listener",
    since: number,
    events: { readonly up: () => void; readonly failed: (err: AppError) => void },
  ): PeerConnection {
    const { identity, peerClass, clock, random, logger } = this.#options;
    const { swarm } = entry;
    const connection = new Connection({
      socket,
      role,
      versionId: swarm.versionId,
      infohash: swarm.swarm.subarray(0, 20),
      sizes: swarm.layout,
      claims: entry.claims,
      identity,
      peerClass,
      listenPort: this.#port,
      clock,
      random,
      logger,
      limits: this.#limits,
      since,
      up(link) {
        try {
          swarm.onPeer(link);
        } finally {
          events.up();
        }
      },
      failed: events.failed,
      ended: () => {
        this.#links -= 1;
        entry.connections.delete(connection);
      },
    });
    entry.connections.add(connection);
    return connection;
  }

  #checkAddress(peer: PeerAddress, allowLoopback: boolean): void {
    const family = isIP(peer.address);
    const type = family === 4 ? "ipv4" : "ipv6";
    if (family === 0 || peer.port < 1 || peer.port > 65_535)
      throw refused("address is no IP address and port");
    if (NEVER.check(peer.address, type)) throw refused("address is none of a host");
    if (!allowLoopback && LOOPBACK.check(peer.address, type)) throw refused("address is this machine");
  }
}

function refused(what: string): AppError {
  return new AppError("ERR_PEER_REFUSED", `peer ${what}`, { details: { reason: "refused" } });
}
