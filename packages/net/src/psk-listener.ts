import { constants } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { AppError, type Clock, describeError } from "@ckmesh/core";
import { HandshakeLimits } from "./handshake-limits.js";
import type { PeerSocket } from "./peer-socket.js";
import { asPeerSocket, ignore, PSK_CIPHERS, plainAddress, type SwarmKey } from "./peer-tls.js";

export interface PskListenerOptions {
  readonly clock: Clock;
  readonly handshakeMs: number;
  /** The key of the swarm that this public id (hex) names; undefined when it is not ours. */
  readonly lookUp: (identity: string) => SwarmKey | undefined;
  /** A connection that proved the key. `since`: when TCP accepted it. `settled` ends its half-open state. */
  readonly accept: (socket: PeerSocket, identity: string, since: number, settled: () => void) => void;
  /** A connection that did not get that far. */
  readonly refused: (address: string, reason: string) => void;
  readonly failed: (err: Error) => void;
}

/**
 * A handshake in a LAN takes milliseconds. When all places are taken, one that takes longer than this makes room:
 * or those who never finish theirs, from many addresses, would keep everybody else out.
 */
const SLOW_HANDSHAKE_MS = 500;

/** A connection between TCP's accept and the proven link. */
interface HalfOpen {
  readonly raw: Socket;
  readonly since: number;
  readonly settle: () => void;
}

/** The one TCP listener for all swarms; strangers are counted before the costly part. */
export class PskListener {
  readonly #options: PskListenerOptions;
  readonly #limits = new HandshakeLimits();
  readonly #halfOpen = new Map<string, HalfOpen>();
  /** Which swarm a TLS connection named; no entry means it got in without the key callback (a ticket). */
  readonly #named = new WeakMap<TLSSocket, string>();
  readonly #tls: TlsServer;
  readonly #server: Server;

  constructor(options: PskListenerOptions) {
    this.#options = options;
    this.#tls = createTlsServer({
      minVersion: "TLSv1.3",
      ciphers: PSK_CIPHERS,
      handshakeTimeout: options.handshakeMs,
      // Tickets could outlive the key.
      secureOptions: constants.SSL_OP_NO_TICKET,
      pskCallback: (socket, identity) => {
        const key = options.lookUp(identity);
        if (key === undefined) return null;
        this.#named.set(socket, identity);
        return key.psk;
      },
    });
    this.#tls.on("tlsClientError", (err, socket) => {
      options.refused(plainAddress(socket.remoteAddress), err.message);
      socket.on("error", ignore);
      socket.destroy();
    });
    this.#tls.on("secureConnection", (socket) => this.#secured(socket));
    this.#server = createServer((raw) => this.#accepted(raw));
  }

  /**
   * Begins to listen; answers with the port.
   * @throws {AppError} ERR_ADDRESS_IN_USE; ERR_CONFIG_INVALID when that address cannot be listened on
   */
  async open(host: string, port: number): Promise<number> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => {
        server.off("error", reject);
        server.on("error", this.#options.failed);
        resolve();
      });
    }).catch((cause: unknown) => {
      const isTaken = cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE";
      throw new AppError(
        isTaken ? "ERR_ADDRESS_IN_USE" : "ERR_CONFIG_INVALID",
        isTaken
          ? `cannot listen for peers on ${host} port ${port}: another program does; for a second client on this machine give another --listen (port 0 takes a free one)`
          : `cannot listen for peers on ${host} port ${port}: ${describeError(cause)}; choose another address with --listen`,
        { cause },
      );
    });
    const address = server.address();
    return typeof address === "object" ? (address?.port ?? 0) : 0;
  }

  /** Stops listening and drops whoever is not up yet. */
  async close(): Promise<void> {
    for (const { raw } of this.#halfOpen.values()) raw.destroy();
    if (this.#server.listening) await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accepted(raw: Socket): void {
    const since = this.#options.clock.now();
    const address = plainAddress(raw.remoteAddress);
    raw.on("error", ignore);
    if (this.#limits.isFull) this.#makeRoom(since);
    // Without an address it was reset before it got here: all such would bear one name among the half-open ones.
    const reason = address === "" ? "reset" : this.#limits.refuse(address, since);
    if (reason !== undefined) {
      raw.destroy();
      this.#options.refused(address, reason);
      return;
    }
    const endpoint = endpointOf(raw);
    const entry: HalfOpen = {
      raw,
      since,
      settle: () => {
        if (this.#halfOpen.get(endpoint) !== entry) return;
        this.#halfOpen.delete(endpoint);
        this.#limits.settled(address);
      },
    };
    this.#halfOpen.set(endpoint, entry);
    this.#limits.opened(address);
    raw.once("close", entry.settle);
    this.#tls.emit("connection", raw);
  }

  /** Drops the oldest half-open connection if it is slow. */
  #makeRoom(now: number): void {
    const [oldest] = this.#halfOpen.values();
    if (oldest === undefined || now - oldest.since < SLOW_HANDSHAKE_MS) return;
    oldest.raw.destroy();
    oldest.settle();
  }

  #secured(socket: TLSSocket): void {
    const identity = this.#named.get(socket);
    const entry = this.#halfOpen.get(endpointOf(socket));
    if (identity === undefined || entry === undefined || !socket.isSessionReused()) {
      socket.on("error", ignore);
      socket.destroy();
      return;
    }
    this.#options.accept(asPeerSocket(socket), identity, entry.since, entry.settle);
  }
}

/** Unique among the open connections of one listener. */
function endpointOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ""}|${socket.remotePort ?? 0}`;
}
