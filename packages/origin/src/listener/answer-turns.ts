import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Requests of one connection that may be known at a time; no client of ours sends any ahead (RFC 9112 §9.3.2). */
const MAX_AHEAD = 64;

interface Line {
  /** Under way or waiting. */
  count: number;
  readonly waiting: (() => void)[];
}

/**
 * Lets the requests that a client sends ahead on one connection take turns. Node hands them out all at once, as
 * many as fit in what it has read, and keeps what is written for each until its turn: each would hold a read
 * buffer, and one connection could fill the memory.
 */
export class AnswerTurns {
  readonly #lines = new WeakMap<Socket, Line>();

  /** Waits until every earlier request of the connection is answered. False: the connection is gone. */
  async next(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const { socket } = request;
    const line: Line = this.#lines.get(socket) ?? { count: 0, waiting: [] };
    this.#lines.set(socket, line);
    if (line.count >= MAX_AHEAD) socket.destroy();
    if (socket.destroyed) return false;
    line.count += 1;
    if (line.count > 1) await new Promise<void>((resolve) => line.waiting.push(resolve));
    const ended = (): void => {
      line.count -= 1;
      line.waiting.shift()?.();
    };
    if (socket.destroyed) {
      // An answer that never had its turn has no close event.
      ended();
      return false;
    }
    response.once("close", ended);
    return true;
  }
}
