import { ServerResponse } from "node:http";
import type { Socket } from "node:net";

// Node's server cannot be told a method (llhttp has a fixed list), but it leaves a connection open whose request its
// parser refused. How such a connection is taken from it is not documented: all that is known about it is in this
// file, and `test/bits/node-majors.test.ts` holds it against the versions of Node that we support.

export const VERB = "BITS_POST";
/** What llhttp has read when it refuses the verb: it took it for BIND until the third letter. */
const READ_OF_VERB = 2;

type SocketEvent = "data" | "end" | "timeout" | "drain" | "close";
type SocketListener = (...args: unknown[]) => void;

/** The error that Node's parser gives to `clientError`. */
export interface ParserError {
  readonly code?: string;
  readonly rawPacket?: unknown;
  readonly bytesParsed?: unknown;
}

/** Where the verb begins that the parser refused, and all that was read behind; undefined where it is not ours. */
export function refusedBitsRequest(err: ParserError): Buffer | undefined {
  const { code, rawPacket, bytesParsed } = err;
  if (code !== "HPE_INVALID_METHOD" || !Buffer.isBuffer(rawPacket) || typeof bytesParsed !== "number") {
    return undefined;
  }
  const start = bytesParsed - READ_OF_VERB;
  // The first letters came with an earlier read, which is gone; the parser knew them.
  const lost = VERB.slice(0, Math.max(0, -start));
  const bytes = Buffer.concat([Buffer.from(lost, "latin1"), rawPacket.subarray(Math.max(0, start))]);
  return beginsAsVerb(bytes) ? bytes : undefined;
}

/** Whether bytes are the verb and its blank, or may become it. */
export function beginsAsVerb(bytes: Buffer): boolean {
  const wanted = `${VERB} `;
  const length = Math.min(bytes.length, wanted.length);
  return bytes.toString("latin1", 0, length) === wanted.slice(0, length);
}

/**
 * Takes a connection from Node's server whose parser has failed; its earlier requests may be under way still.
 * Attach a listener for `readable` before, so that the bytes go to the stream.
 * @throws {Error} when this version of Node keeps its connections in another way
 */
export class DetachedConnection {
  readonly #socket: Socket;
  readonly #close: SocketListener;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#close = nodeListener(socket, "close", "bound socketOnClose");
    // No longer one of those that are slow to send a head.
    removeFromList(Reflect.get(socket, "parser"));
    drop(socket, "data", "bound socketOnData");
    drop(socket, "end", "bound socketOnEnd");
  }

  /**
   * Waits until the answers to earlier requests are out, then cuts the last tie to Node's server.
   * @returns false when the connection ends with one of them
   */
  async release(): Promise<boolean> {
    const socket = this.#socket;
    for (let answer = answerUnderWay(socket); answer !== undefined; answer = answerUnderWay(socket)) {
      await closeOfEither(answer, socket);
    }
    if (socket.destroyed) return false; // Node has tidied up.
    drop(socket, "drain", "bound socketOnDrain");
    drop(socket, "timeout", "socketOnTimeout");
    socket.off("close", this.#close);
    this.#close(); // Gives the parser back to Node's stock; there are no requests left that it could abort.
    socket.setTimeout(0);
    return socket.writable;
  }
}

function closeOfEither(answer: ServerResponse, socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const closed = (): void => {
      answer.off("close", closed);
      socket.off("close", closed);
      resolve();
    };
    answer.on("close", closed);
    socket.on("close", closed);
  });
}

function answerUnderWay(socket: Socket): ServerResponse | undefined {
  const answer: unknown = Reflect.get(socket, "_httpMessage");
  return answer instanceof ServerResponse && !socket.destroyed ? answer : undefined;
}

function removeFromList(parser: unknown): void {
  if (typeof parser !== "object" || parser === null || !("remove" in parser)) throw unknownNode("parser");
  if (typeof parser.remove !== "function") throw unknownNode("parser.remove");
  parser.remove();
}

function drop(socket: Socket, event: SocketEvent, name: string): void {
  socket.off(event, nodeListener(socket, event, name));
}

function nodeListener(socket: Socket, event: SocketEvent, name: string): SocketListener {
  const listener = socket.listeners(event).find((candidate) => candidate.name === name);
  if (!isListener(listener)) throw unknownNode(name);
  return listener;
}

function isListener(candidate: unknown): candidate is SocketListener {
  return typeof candidate === "function";
}

function unknownNode(what: string): Error {
  return new Error(`this version of Node (${process.version}) has no ${what} at its connections`);
}
