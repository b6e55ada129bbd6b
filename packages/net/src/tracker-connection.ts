import { AppError, type Clock, describeError } from "@ckmesh/core";
import {
  decodeFromTracker,
  encodeToTracker,
  type FromTracker,
  MAX_TRACKER_MESSAGE_BYTES,
  type ToTracker,
} from "@ckmesh/wire";
import { WebSocket } from "ws";
import { OriginSockets } from "./origin/origin-socket.js";
import { bareHost, type ProxySettings, proxyFor } from "./origin/proxy.js";
import { TunnelAgent } from "./origin/tunnel-agent.js";
import { TokenBucket } from "./token-bucket.js";
import { asCa } from "./tracker-link-options.js";

const HANDSHAKE_TIMEOUT_MS = 15_000;
/** More unread than this and the connection is given up. */
const MAX_BUFFERED_BYTES = 256 * 1024;
/** What the tracker may send. */
const MESSAGES_PER_SEC = 50;
const MESSAGE_BURST = 500;

export interface TrackerConnectionOptions {
  readonly url: string;
  readonly ca?: string | Uint8Array;
  readonly proxy?: ProxySettings;
  readonly clock: Clock;
  readonly onMessage: (message: FromTracker) => void;
  /** Called once, when the connection is over for whatever reason but `close`. */
  readonly onLost: (reason: string) => void;
}

/** One WebSocket to a tracker: bounded both ways, and whatever comes in is checked. */
export class TrackerConnection {
  readonly startedAt: number;
  readonly #options: TrackerConnectionOptions;
  readonly #socket: WebSocket;
  readonly #incoming: TokenBucket;
  #heardAt: number;
  #isOver = false;

  constructor(options: TrackerConnectionOptions) {
    const { url, ca, clock } = options;
    const agent = tunnelTo(options);
    this.#options = options;
    this.startedAt = clock.now();
    this.#heardAt = this.startedAt;
    this.#incoming = new TokenBucket(MESSAGES_PER_SEC, MESSAGE_BURST, this.startedAt);
    this.#socket = new WebSocket(url, {
      perMessageDeflate: false,
      maxPayload: MAX_TRACKER_MESSAGE_BYTES,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      followRedirects: false,
      ...(ca === undefined ? {} : { ca: asCa(ca) }),
      ...(agent === undefined ? {} : { agent }),
    });
    this.#socket.on("message", (data, isBinary) => {
      this.#onMessage(isBinary && data instanceof Uint8Array ? data : undefined);
    });
    this.#socket.on("ping", () => {
      this.#heardAt = clock.now();
    });
    this.#socket.on("error", (err) => this.lose(describeError(err)));
    this.#socket.on("close", (code) => this.lose(`the tracker closed the connection (${code})`));
  }

  /** When the tracker last gave a sign of life, monotonic ms. */
  get heardAt(): number {
    return this.#heardAt;
  }

  /** Only after something was heard. */
  send(message: ToTracker): void {
    if (this.#isOver) return;
    if (this.#socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.lose("the tracker does not read");
      return;
    }
    this.#socket.send(encodeToTracker(message), { binary: true }, (err) => {
      if (err) this.lose(describeError(err));
    });
  }

  /** Ends the connection and says why; only the first call counts. */
  lose(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#socket.terminate();
    this.#options.onLost(reason);
  }

  /** Ends the connection without a word; resolves when the socket is gone. */
  async close(): Promise<void> {
    this.#isOver = true;
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const gone = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
    this.#socket.terminate();
    await gone;
  }

  #onMessage(bytes: Uint8Array | undefined): void {
    if (this.#isOver) return;
    const now = this.#options.clock.now();
    this.#heardAt = now;
    if (!this.#incoming.take(now)) {
      this.lose("the tracker sends too many messages");
      return;
    }
    const message = this.#decode(bytes);
    if (message !== undefined) this.#options.onMessage(message);
  }

  #decode(bytes: Uint8Array | undefined): FromTracker | undefined {
    try {
      if (bytes === undefined) throw new AppError("ERR_WIRE_MESSAGE_INVALID", "messages are binary");
      return decodeFromTracker(bytes);
    } catch (err) {
      if (!(err instanceof AppError) || err.code !== "ERR_WIRE_MESSAGE_INVALID") throw err;
      this.lose(`the tracker sent an invalid message: ${err.message}`);
      return undefined;
    }
  }
}

/** The way through the proxy; undefined where there is none to go through. */
function tunnelTo({ url: text, ca, proxy, clock }: TrackerConnectionOptions): TunnelAgent | undefined {
  const url = new URL(text.replace(/^wss:/i, "https:"));
  const server = url.protocol === "https:" ? proxyFor(bareHost(url.hostname), proxy) : undefined;
  if (server === undefined) return undefined;
  const sockets = new OriginSockets({
    url,
    proxy: server,
    timeoutMs: HANDSHAKE_TIMEOUT_MS,
    clock,
    ...(ca !== undefined && { ca: asCa(ca) }),
  });
  return new TunnelAgent(sockets);
}
