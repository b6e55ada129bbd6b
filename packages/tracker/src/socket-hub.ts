import type { IncomingMessage } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { describeError, type Logger } from "@ckmesh/core";
import { type IpAddress, MAX_TRACKER_MESSAGE_BYTES, parseIp } from "@ckmesh/wire";
import { WebSocket, WebSocketServer } from "ws";

/** A receiver that leaves more than this unread is cut off. */
const MAX_BUFFERED_BYTES = 256 * 1024;
/** From our close frame to the end of the connection. */
const CLOSE_TIMEOUT_MS = 2_000;
/** RFC 6455 §7.4.1 */
const POLICY_VIOLATION = 1008;
const GOING_AWAY = 1001;

/** A constant, because the type declarations do not know `closeTimeout` yet. */
const SERVER_OPTIONS = {
  noServer: true,
  maxPayload: MAX_TRACKER_MESSAGE_BYTES,
  perMessageDeflate: false,
  clientTracking: false,
  closeTimeout: CLOSE_TIMEOUT_MS,
};

export interface SocketHubOptions {
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly logger: Logger;
  readonly onOpened: (connection: number, observed: IpAddress) => void;
  /** `bytes` is undefined for a text message. */
  readonly onMessage: (connection: number, bytes: Uint8Array | undefined) => void;
  readonly onClosed: (connection: number) => void;
  /** A connection that was cut off or not taken. */
  readonly onDropped: (reason: DropReason) => void;
}

export type DropReason = "full" | "address" | "browser" | "unread" | "silent";

interface Link {
  readonly socket: WebSocket;
  readonly address: string;
  isAlive: boolean;
}

/** The WebSocket edge: takes upgrades within limits, numbers connections, sends, finds out who is gone. */
export class SocketHub {
  readonly #options: SocketHubOptions;
  readonly #links = new Map<number, Link>();
  readonly #perAddress = new Map<string, number>();
  readonly #server = new WebSocketServer(SERVER_OPTIONS);
  #lastId = 0;
  #isClosing = false;

  constructor(options: SocketHubOptions) {
    this.#options = options;
    this.#server.on("error", (err) =>
      options.logger.warn({ reason: describeError(err) }, "websocket server error"),
    );
  }

  get size(): number {
    return this.#links.size;
  }

  /** For logs. */
  addressOf(connection: number): string | undefined {
    return this.#links.get(connection)?.address;
  }

  /** For the `upgrade` event of a server. Answers 403, 429 or 503 when the connection is not taken. */
  handleUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { logger } = this.#options;
    socket.on("error", (err) => logger.debug({ reason: describeError(err) }, "connection failed"));
    const observed = parseIp(req.socket.remoteAddress ?? "");
    if (observed === undefined) {
      socket.destroy();
      return;
    }
    const address = observed.toString();
    const refusal = this.#refusal(req, address);
    if (refusal !== undefined) {
      this.#options.onDropped(refusal.reason);
      refuseUpgrade(socket, refusal.status);
      return;
    }
    this.#server.handleUpgrade(req, socket, head, (ws) => this.#add(ws, observed, address));
  }

  /** Cuts the connection off when it leaves too much unread. */
  send(connection: number, bytes: Uint8Array): void {
    const link = this.#links.get(connection);
    if (link === undefined || link.socket.readyState !== WebSocket.OPEN) return;
    if (link.socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.#options.onDropped("unread");
      link.socket.terminate();
      return;
    }
    link.socket.send(bytes, { binary: true }, (err) => {
      // The socket's own close event follows and is what counts.
      if (err) this.#options.logger.debug({ reason: describeError(err) }, "send failed");
    });
  }

  /** Closes after what was sent. */
  close(connection: number, reason: string): void {
    this.#links.get(connection)?.socket.close(POLICY_VIOLATION, reason);
  }

  /** Ends connections without a sign of life since the last call, and asks the others for one. */
  checkLife(): void {
    for (const link of this.#links.values()) {
      if (!link.isAlive) {
        this.#options.onDropped("silent");
        link.socket.terminate();
        continue;
      }
      link.isAlive = false;
      if (link.socket.readyState === WebSocket.OPEN) link.socket.ping();
    }
  }

  /** Says good-bye to all and takes nobody any more; resolves when all are gone. */
  async end(): Promise<void> {
    this.#isClosing = true;
    const gone = [...this.#links.values()].map(
      ({ socket }) => new Promise<void>((resolve) => socket.once("close", () => resolve())),
    );
    for (const { socket } of this.#links.values()) socket.close(GOING_AWAY, "tracker stops");
    await Promise.all(gone);
    this.#server.close();
  }

  #refusal(req: IncomingMessage, address: string): { status: number; reason: DropReason } | undefined {
    const { maxConnections, maxConnectionsPerAddress } = this.#options;
    // Browsers send it and nobody else: a web page has no business here.
    if (req.headers.origin !== undefined) return { status: 403, reason: "browser" };
    if (this.#isClosing || this.#links.size >= maxConnections) return { status: 503, reason: "full" };
    const count = this.#perAddress.get(address) ?? 0;
    return count >= maxConnectionsPerAddress ? { status: 429, reason: "address" } : undefined;
  }

  #add(socket: WebSocket, observed: IpAddress, address: string): void {
    const { onOpened, onMessage, onClosed, logger } = this.#options;
    this.#lastId += 1;
    const connection = this.#lastId;
    const link: Link = { socket, address, isAlive: true };
    this.#links.set(connection, link);
    this.#perAddress.set(address, (this.#perAddress.get(address) ?? 0) + 1);
    socket.on("message", (data, isBinary) => {
      link.isAlive = true;
      onMessage(connection, isBinary && data instanceof Uint8Array ? data : undefined);
    });
    socket.on("pong", () => {
      link.isAlive = true;
    });
    socket.on("error", (err) => logger.debug({ connection, reason: describeError(err) }, "connection error"));
    socket.on("close", () => {
      this.#links.delete(connection);
      const left = (this.#perAddress.get(address) ?? 1) - 1;
      if (left === 0) this.#perAddress.delete(address);
      else this.#perAddress.set(address, left);
      onClosed(connection);
    });
    onOpened(connection, observed);
  }
}

function refuseUpgrade(socket: Duplex, status: number): void {
  const retry = status === 403 ? "" : "Retry-After: 30\r\n";
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\nConnection: close\r\nContent-Length: 0\r\n${retry}\r\n`,
    () => socket.destroy(),
  );
}
