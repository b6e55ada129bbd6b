import { Agent, type RequestOptions } from "node:https";
import type { Duplex } from "node:stream";
import type { OriginSockets } from "./origin-socket.js";

/** Connections through a proxy for Node's own requests, such as that of a WebSocket. */
export class TunnelAgent extends Agent {
  readonly #sockets: OriginSockets;

  constructor(sockets: OriginSockets) {
    super({ keepAlive: false });
    this.#sockets = sockets;
  }

  /** As Node calls it: the socket comes later. */
  override createConnection(
    _options: RequestOptions,
    done?: (err: Error | null, socket: Duplex) => void,
  ): Duplex | null | undefined {
    this.#sockets.open((err, socket) => {
      // Node's types want a socket even beside an error.
      if (socket !== undefined) done?.(null, socket);
      else Reflect.apply(done ?? (() => {}), undefined, [err]);
    });
    return undefined;
  }
}
