import { connect, type TLSSocket } from "node:tls";
import { AppError, type Clock } from "@ckmesh/core";
import type { PeerSocket } from "./peer-socket.js";
import { readIntoBuffer } from "./read-into-buffer.js";

/** TLS 1.3 external PSK works with SHA-256 suites only in Node's callback form (specs: peer wire 2). */
export const PSK_CIPHERS = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
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
  const socket = connect({
    host: address,
    port,
    minVersion: "TLSv1.3",
    ciphers: PSK_CIPHERS,
    // No authority at all: a server that ignores the key and shows a certificate is never trusted.
    ca: [],
    checkServerIdentity: () => undefined,
    pskCallback: () => ({ psk: key.psk, identity: key.identity }),
  });
  await new Promise<void>((resolve, reject) => {
    let isConnected = false;
    const settle = (err?: AppError): void => {
      cancel();
      signal.removeEventListener("abort", abort);
      socket
        .off("error", onError)
        .off("close", onClose)
        .off("connect", onConnect)
        .off("secureConnect", onSecure);
      if (err === undefined) return resolve();
      socket.on("error", ignore);
      socket.destroy();
      reject(err);
    };
    const abort = (): void => settle(new AppError("ERR_ABORTED", "dial aborted"));
    const cancel = options.clock.after(options.timeoutMs, () =>
      settle(unreachable("does not answer in time")),
    );
    const onConnect = (): void => {
      isConnected = true;
    };
    const onError = (err: Error): void =>
      settle(
        isConnected ? refused("refused the key of this swarm", err) : unreachable("cannot be reached", err),
      );
    const onClose = (): void => settle(refused("hung up during the TLS handshake"));
    // The server proved the key only if the handshake was "resumed" from it, not by a certificate.
    const onSecure = (): void =>
      settle(socket.isSessionReused() ? undefined : refused("did not prove the key of this swarm"));
    signal.addEventListener("abort", abort, { once: true });
    socket.on("error", onError).on("close", onClose).on("connect", onConnect).on("secureConnect", onSecure);
  });
  return asPeerSocket(socket);
}

/** A TLS socket as the link uses it. */
export function asPeerSocket(socket: TLSSocket): PeerSocket {
  socket.setNoDelay(true);
  // Nobody else may be listening yet.
  socket.on("error", ignore);
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
    end: () => socket.end(),
    destroy: () => socket.destroy(),
    listen: ({ data, closed }) => {
      let failure: Error | undefined;
      if (socket.destroyed) {
        queueMicrotask(() => closed());
        return;
      }
      readIntoBuffer(socket, data);
      // What was read before, and all when this Node cannot do that.
      socket.on("data", data);
      socket.on("error", (err) => {
        failure = err;
      });
      socket.on("close", () => closed(failure));
    },
  };
}

/** An IPv4 address that arrived at an IPv6 socket, as IPv4. */
export function plainAddress(address: string | undefined): string {
  return (address ?? "").replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
}

function unreachable(what: string, cause?: unknown): AppError {
  return new AppError("ERR_TIMEOUT", `the peer ${what}`, { cause, details: { reason: "unreachable" } });
}

function refused(what: string, cause?: unknown): AppError {
  return new AppError("ERR_PEER_REFUSED", `the peer ${what}`, { cause, details: { reason: "refused" } });
}

export function ignore(): void {
  // The close event follows and says enough.
}
