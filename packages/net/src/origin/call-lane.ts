import { once } from "node:events";
import {
  Agent,
  type ClientRequest,
  type ClientRequestArgs,
  type IncomingMessage,
  request as requestHttp,
} from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { AppError, type Clock } from "@ckmesh/core";
import { channelBindingOf } from "./channel-binding-of.js";
import {
  KEEP_ALIVE_MS,
  type Lane,
  type LanePlace,
  type LaneRequest,
  MAX_HEADER_BYTES,
  type RawAnswer,
  type RequestBody,
  wireForm,
} from "./lane.js";
import type { OriginSockets } from "./origin-socket.js";

export interface CallLaneOptions extends LanePlace {
  readonly sockets: OriginSockets;
  readonly clock: Clock;
  readonly headTimeoutMs: number;
}

/**
 * For any method, with a body or without. On Node's own client: undici sends no `Content-Length: 0` with methods that
 * it does not know, which BITS wants with each packet ([MC-BUP] 2.2.1.1).
 */
export class CallLane implements Lane {
  readonly #options: CallLaneOptions;
  readonly #agent: CallAgent;
  isConnected = false;
  connection = 0;
  channelBinding: Uint8Array | undefined;

  constructor(options: CallLaneOptions) {
    this.#options = options;
    this.#agent = new CallAgent(options.sockets, (socket) => this.#opened(socket));
  }

  async send(request: LaneRequest, authorization: string | undefined): Promise<RawAnswer> {
    const { url, clock } = this.#options;
    const { method = "GET", body, what, signal, headTimeoutMs = this.#options.headTimeoutMs } = request;
    const { path, headers } = wireForm(this.#options, request, authorization);
    const sent = requestHttp({
      agent: this.#agent,
      // For the agent's book only.
      host: url.hostname,
      method,
      path,
      headers: {
        host: url.host,
        ...headers,
        ...(method !== "GET" && { "content-length": body?.length ?? 0 }),
      },
      maxHeaderSize: MAX_HEADER_BYTES,
      ...(signal !== undefined && { signal }),
    });
    const late = (): void => {
      const seconds = headTimeoutMs / 1000;
      sent.destroy(new AppError("ERR_TIMEOUT", `nothing moved at the origin for ${seconds} s: ${what}`));
    };
    let cancel = clock.after(headTimeoutMs, late);
    const progress = (): void => {
      cancel();
      cancel = clock.after(headTimeoutMs, late);
    };
    try {
      const answered = answerTo(sent);
      const isSent = sendBody(sent, body, progress);
      const message = await answered;
      if (!(await isSent)) this.#leaveRest(sent, message);
      return { statusCode: message.statusCode ?? 0, headers: message.headersDistinct, body: message };
    } finally {
      cancel();
    }
  }

  closing(): void {
    this.isConnected = false;
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }

  /** The answer came before the whole body was sent: the rest never is, and the server waits for it. */
  #leaveRest(sent: ClientRequest, message: IncomingMessage): void {
    this.isConnected = false;
    message.once("close", () => sent.destroy());
  }

  #opened(socket: Socket): void {
    this.connection += 1;
    const { connection } = this;
    this.isConnected = true;
    this.channelBinding = channelBindingOf(socket);
    socket.once("close", () => {
      if (this.connection === connection) this.isConnected = false;
    });
  }
}

async function answerTo(sent: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // The listener for errors stays: a connection may break after its answer, too.
    sent.once("response", resolve).on("error", reject);
  });
}

/** Sends a body as far as the server wants it; false: it answered before the end. What breaks shows in the answer. */
async function sendBody(
  sent: ClientRequest,
  body: RequestBody | undefined,
  progress: () => void,
): Promise<boolean> {
  const over = new AbortController();
  const end = (): void => over.abort();
  sent.once("response", end).once("close", end);
  try {
    if (body !== undefined) {
      for await (const part of body.read()) {
        if (over.signal.aborted) return false;
        progress();
        // Rejects when that is over, or the connection broke.
        if (!sent.write(part)) await once(sent, "drain", { signal: over.signal }).catch(() => {});
      }
    }
    if (over.signal.aborted) return false;
    progress();
    sent.end();
    return true;
  } catch (err) {
    sent.destroy(err instanceof Error ? err : new Error(String(err)));
    return false;
  }
}

/** Node's keeping of one connection, made by our own hands. */
class CallAgent extends Agent {
  readonly #sockets: OriginSockets;
  readonly #onOpen: (socket: Socket) => void;

  constructor(sockets: OriginSockets, onOpen: (socket: Socket) => void) {
    super({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1, timeout: KEEP_ALIVE_MS });
    this.#sockets = sockets;
    this.#onOpen = onOpen;
  }

  /** As Node calls it: the socket comes later. */
  override createConnection(
    _options: ClientRequestArgs,
    done?: (err: Error | null, socket: Duplex) => void,
  ): Duplex | null | undefined {
    this.#sockets.open((err, socket) => {
      if (socket === undefined) {
        // Node's types want a socket even beside an error.
        Reflect.apply(done ?? (() => {}), undefined, [err]);
        return;
      }
      this.#onOpen(socket);
      done?.(null, socket);
    });
    return undefined;
  }
}
