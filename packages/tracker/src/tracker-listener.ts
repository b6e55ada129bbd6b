import { readFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { isIP } from "node:net";
import type { Duplex } from "node:stream";
import { AppError, describeError, type Logger } from "@ckmesh/core";
import { formatListen, type ListenAddress } from "@ckmesh/runtime";
import { isLoopbackIp, parseIp } from "@ckmesh/wire";
import type { SocketHub } from "./socket-hub.js";

const HEADERS_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 8 * 1024;
const CHECK_INTERVAL_MS = 1_000;

export interface ListenerOptions {
  readonly listen: ListenAddress;
  /** Files in PEM; without them plain ws. */
  readonly tls?: { readonly certFile: string; readonly keyFile: string };
  readonly hub: SocketHub;
  readonly onRequest: RequestListener;
  readonly maxConnections: number;
  readonly logger: Logger;
}

export interface TrackerListener {
  /** `ws(s)://host:port` */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Opens one port: upgrades go to the hub, requests to `onRequest`.
 * @throws {AppError} ERR_ADDRESS_IN_USE, ERR_CONFIG_INVALID
 */
export async function openListener(options: ListenerOptions): Promise<TrackerListener> {
  const { listen, tls, hub, logger } = options;
  const server = await makeServer(options);
  server.maxConnections = options.maxConnections;
  const sockets = new Set<Duplex>();
  server.on(tls === undefined ? "connection" : "secureConnection", (socket: Duplex) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (req, socket, head) => hub.handleUpgrade(req, socket, head));
  server.on("clientError", (_err, socket) => socket.destroy());
  server.on("tlsClientError", (err) => logger.debug({ reason: describeError(err) }, "tls handshake failed"));
  await listening(server, listen);
  server.on("error", (err) => logger.error({ reason: describeError(err) }, "listener failed"));
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : listen.port;
  return {
    url: `${tls === undefined ? "ws" : "wss"}://${formatListen({ host: listen.host, port })}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** True if only this machine can reach the listener. */
export function isLoopbackListen(listen: ListenAddress): boolean {
  const address = isIP(listen.host) === 0 ? undefined : parseIp(listen.host);
  return address === undefined ? listen.host === "localhost" : isLoopbackIp(address);
}

async function makeServer({ tls, onRequest }: ListenerOptions): Promise<Server> {
  const shared = {
    headersTimeout: HEADERS_TIMEOUT_MS,
    requestTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
    maxHeaderSize: MAX_HEADER_BYTES,
  };
  if (tls === undefined) return createServer(shared, onRequest);
  const [cert, key] = await Promise.all([readPem(tls.certFile, "tlsCert"), readPem(tls.keyFile, "tlsKey")]);
  try {
    // Whoever connects is one of ours or scrapes metrics: nothing older is needed.
    return createTlsServer(
      { ...shared, cert, key, minVersion: "TLSv1.3", handshakeTimeout: HEADERS_TIMEOUT_MS },
      onRequest,
    );
  } catch (cause) {
    throw new AppError(
      "ERR_CONFIG_INVALID",
      `tlsCert and tlsKey are no matching pair in PEM: ${describeError(cause)}`,
      { cause },
    );
  }
}

async function readPem(file: string, setting: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new AppError("ERR_CONFIG_INVALID", `${setting}: cannot read it: ${describeError(cause)}`, {
      cause,
    });
  }
}

function listening(server: Server, listen: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (cause: NodeJS.ErrnoException): void => {
      const where = formatListen(listen);
      reject(
        cause.code === "EADDRINUSE"
          ? new AppError(
              "ERR_ADDRESS_IN_USE",
              `${where} is in use; stop the other program or choose another port`,
              {
                cause,
              },
            )
          : new AppError("ERR_CONFIG_INVALID", `cannot listen on ${where}: ${cause.message}`, { cause }),
      );
    };
    server.once("error", onError);
    server.listen(listen.port, listen.host, () => {
      server.off("error", onError);
      resolve();
    });
  });
}
