import type { Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { handBack } from "../listener/hand-back.js";
import { BITS_IDLE_MS, BitsConnection, type BitsConnectionParts } from "./bits-connection.js";
import { DetachedConnection, type ParserError, refusedBitsRequest } from "./native-parser.js";

/** The connections of one listener that speak BITS, apart from those that Node's server looks after. */
export class BitsConnections {
  readonly #parts: BitsConnectionParts;
  readonly #open = new Set<BitsConnection>();
  readonly #known = new WeakSet<Socket>();

  constructor(server: Server, parts: Omit<BitsConnectionParts, "handBack">) {
    this.#parts = { ...parts, handBack: (socket, bytes) => handBack(server, socket, bytes) };
  }

  /**
   * Looks at a request that Node's parser refused. True: it is a `BITS_POST`, and the connection is taken from Node's
   * server, which has it back when another method comes.
   */
  take(err: ParserError, socket: Socket): boolean {
    const first = socket.writable ? refusedBitsRequest(err) : undefined;
    if (first === undefined) return false;
    const connection = new BitsConnection(socket, first, this.#parts);
    this.#known.add(socket);
    this.#open.add(connection);
    void this.#serve(connection, socket);
    return true;
  }

  /** Lets a connection on which BITS was spoken wait as long for its next request when another was answered. */
  keep(socket: Socket, response: ServerResponse): void {
    if (!this.#known.has(socket)) return;
    // Node's server has set its own time by then.
    response.once("close", () => socket.setTimeout(BITS_IDLE_MS));
  }

  /** Ends connections without a request now, and the others after their answer. */
  close(): void {
    for (const connection of this.#open) connection.close();
  }

  destroy(): void {
    for (const connection of this.#open) connection.destroy();
  }

  async #serve(connection: BitsConnection, socket: Socket): Promise<void> {
    let detached: DetachedConnection;
    try {
      detached = new DetachedConnection(socket);
    } catch (err) {
      this.#open.delete(connection);
      this.#parts.logger.error({ err }, "cannot receive uploads");
      socket.destroy();
      return;
    }
    await connection.serve(detached);
    this.#open.delete(connection);
  }
}
