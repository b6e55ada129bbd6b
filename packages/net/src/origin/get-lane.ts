import type { Socket } from "node:net";
import { Client } from "undici";
import { channelBindingOf } from "./channel-binding-of.js";
import {
  KEEP_ALIVE_MS,
  type Lane,
  type LanePlace,
  type LaneRequest,
  MAX_HEADER_BYTES,
  type RawAnswer,
  wireForm,
} from "./lane.js";
import type { OriginSockets } from "./origin-socket.js";

export interface GetLaneOptions extends LanePlace {
  readonly sockets: OriginSockets;
  readonly headTimeoutMs: number;
  readonly bodyTimeoutMs: number;
}

/** For GETs, at full speed. */
export class GetLane implements Lane {
  readonly #client: Client;
  readonly #options: GetLaneOptions;
  isConnected = false;
  /** The first error of the connection. */
  #socketError: Error | undefined;
  connection = 0;
  channelBinding: Uint8Array | undefined;

  constructor(options: GetLaneOptions) {
    this.#options = options;
    const { url, sockets, headTimeoutMs, bodyTimeoutMs } = options;
    this.#client = new Client(url.origin, {
      pipelining: 1,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: headTimeoutMs,
      bodyTimeout: bodyTimeoutMs,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: (_, callback) => {
        sockets.open((err, socket) => {
          if (socket === undefined) {
            callback(err ?? new Error("unreachable: no socket"), null);
            return;
          }
          this.#opened(socket);
          callback(null, socket);
        });
      },
    });
    this.#client.on("disconnect", () => {
      this.isConnected = false;
    });
  }

  async send(request: LaneRequest, authorization: string | undefined): Promise<RawAnswer> {
    if (request.method !== undefined || request.body !== undefined)
      throw new Error("unreachable: this lane is for GETs");
    const { signal } = request;
    try {
      return await this.#client.request({
        method: "GET",
        ...wireForm(this.#options, request, authorization),
        ...(signal !== undefined && { signal }),
      });
    } catch (err) {
      // After a TLS alert undici says only that the other side closed.
      const isClosed = err instanceof Error && "code" in err && err.code === "UND_ERR_SOCKET";
      throw isClosed && this.#socketError !== undefined ? this.#socketError : err;
    }
  }

  closing(): void {
    this.isConnected = false;
  }

  async close(): Promise<void> {
    await this.#client.destroy();
  }

  #opened(socket: Socket): void {
    this.connection += 1;
    this.isConnected = true;
    this.#socketError = undefined;
    socket.on("error", (err) => {
      this.#socketError ??= err;
    });
    this.channelBinding = channelBindingOf(socket);
  }
}
