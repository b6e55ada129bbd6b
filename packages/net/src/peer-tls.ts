import { constants } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket, connect as tlsConnect } from "node:tls";
import { AppError, type Clock } from "@ckmesh/core";
import { HandshakeLimits } from "./handshake-limits.js";
import type { PeerSocket } from "./peer-connection.js";

/** TLS 1.3 external PSK works with SHA-256 suites only in Node's callback form (specs: peer wire 2). */
const CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
const EXPORT_BYTES = 32;

/** Key and name of one swarm on the wire. */
export interface SwarmKey {
  /** TLS identity: hex of the swarm's public id. */
  readonly identity: string;
  /** 32 bytes. */
  readonly psk: Uint8Array;
}

export interface DialOptions {
  /** IP literal. */
  readonly address: string;
  readonly port: number;
  readonly key: SwarmKey;
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Connects and proves knowledge of the key, both ways.
 * @throws {AppError} ERR_TIMEOUT when nobody answers there, ERR_PEER_REFUSED when TLS fails, ERR_ABORTED;
 *   `details.reason` is `unreachable` or `refused`
 */
export async function dialPsk(options: DialOptions): Promise<PeerSocket> {
  const { address, port, key, signal } = options;
  if (signal.aborted) throw new AppError("ERR_ABORTED", "dial aborted");
  const socket = tlsConnect({
    host: address,
    port,
    minVersion: "TLSv1.3",
    ciphers: CIPHERS,
    // No authority at all: a server that ignores the key and shows a certificate is never trusted.
    ca: [],
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk: key.psk, identity: key.identity }),
  });
  let isConnected = false;
  await new Promise<void>((resolve, reject) => {
    const fail = (err: AppError): void => {
      stop();
      socket.on("error", ignore);
      socket.destroy();
      reject(err);
    };
    const abort = (): void => fail(new AppError("ERR_ABORTED", "dial aborted"));
    const cancel = options.clock.after(options.timeoutMs, () => fail(unreachable("does not answer in time")));
    const stop = (): void => {
      cancel();
      signal.removeEventListener("abort", abort);
      socket.removeAllListeners();
    };
    signal.addEventListener("abort", abort, { once: true });
    socket.once("connect", () => {
      isConnected = true;
    });
    socket.once("error", (err) =>
      fail(
        isConnected ? refused("refused the key of this swarm", err) : unreachable("cannot be reached", err),
      ),
    );
    socket.once("close", () => fail(refused("hung up during the TLS handshake")));
    socket.once("secureConnect", () => {
      stop();
      // The server proved the key only if the handshake was "resumed" from it, not by a certificate.
      if (socket.isSessionReused()) resolve();
      else fail(refused("did not prove the key of this swarm"));
    });
  });
  return asPeerSocket(socket);
}

export interface ListenerOptions {
  readonly clock: Clock;
  readonly handshakeMs: number;
  /** The key of the swarm that this public id (hex) names; undefined when it is not ours. */
  lookUp(identity: string): SwarmKey | undefined;
  /** A connection that proved the key. `since`: when TCP accepted it. `settled` ends its half-open state. */
  accept(socket: PeerSocket, identity: string, since: number, settled: () => void): void;
  /** A connection that did not get that far. */
  refused(address: string, reason: string): void;
}

/** The one TCP listener for all swarms, with limits before the costly part. Returns a server to `listen`. */
export function createPskListener(options: ListenerOptions): Server {
  const limits = new HandshakeLimits();
  /** Which swarm a TLS connection named; no entry means it got in without the key callback (a ticket). */
  const named = new WeakMap<TLSSocket, string>();
  const halfOpen = new Map<string, HalfOpen>();
  const tls = createTlsServer({
    minVersion: "TLSv1.3",
    ciphers: CIPHERS,
    handshakeTimeout: options.handshakeMs,
    // Tickets could outlive the key.
    secureOptions: constants.SSL_OP_NO_TICKET,
    pskCallback(socket, identity) {
      const key = options.lookUp(identity);
      if (key === undefined) return null;
      named.set(socket, identity);
      return key.psk;
    },
  });
  tls.on("tlsClientError", (err, socket) => {
    options.refused(plainAddress(socket.remoteAddress), err.message);
    socket.on("error", ignore);
    socket.destroy();
  });
  tls.on("secureConnection", (socket) => {
    const identity = named.get(socket);
    const entry = halfOpen.get(endpointOf(socket));
    if (identity === undefined || entry === undefined || !socket.isSessionReused()) {
      socket.on("error", ignore);
      socket.destroy();
      return;
    }
    options.accept(asPeerSocket(socket), identity, entry.since, entry.settle);
  });
  return createServer((raw) => {
    const since = options.clock.now();
    const address = plainAddress(raw.remoteAddress);
    raw.on("error", ignore);
    const reason = limits.refuse(address, since);
    if (reason !== undefined) {
      raw.destroy();
      options.refused(address, reason);
      return;
    }
    const endpoint = endpointOf(raw);
    const entry: HalfOpen = {
      since,
      settle() {
        if (halfOpen.get(endpoint) !== entry) return;
        halfOpen.delete(endpoint);
        limits.settled();
      },
    };
    halfOpen.set(endpoint, entry);
    limits.opened();
    raw.once("close", entry.settle);
    tls.emit("connection", raw);
  });
}

/** A connection between TCP's accept and the proven link. */
interface HalfOpen {
  readonly since: number;
  readonly settle: () => void;
}

/** Unique among the open connections of one listener. */
function endpointOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ""}|${socket.remotePort ?? 0}`;
}

/** A TLS socket as the link uses it. */
function asPeerSocket(socket: TLSSocket): PeerSocket {
  socket.setNoDelay(true);
  const address = plainAddress(socket.remoteAddress);
  return {
    address,
    get waitingBytes() {
      return socket.writableLength;
    },
    write: (bytes, flushed) => {
      socket.write(bytes, (err) => {
        if (err === undefined || err === null) flushed();
      });
    },
    exportKey: (label, context) =>
      socket.exportKeyingMaterial(EXPORT_BYTES, label, Buffer.from(context, "latin1")),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    destroy: () => socket.destroy(),
    listen: ({ data, closed }) => {
      let failure: Error | undefined;
      socket.on("data", data);
      socket.on("error", (err) => {
        failure = err;
      });
      socket.on("close", () => closed(failure));
    },
  };
}

/** An IPv4 address that arrived at an IPv6 socket, as IPv4. */
function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
}

function unreachable(what: string, cause?: unknown): AppError {
  return new AppError("ERR_TIMEOUT", `the peer ${what}`, { cause, details: { reason: "unreachable" } });
}

function refused(what: string, cause?: unknown): AppError {
  return new AppError("ERR_PEER_REFUSED", `the peer ${what}`, { cause, details: { reason: "refused" } });
}

function ignore(): void {
  // The close event follows and says enough.
}
