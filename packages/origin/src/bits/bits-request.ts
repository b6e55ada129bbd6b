import type { IncomingHttpHeaders } from "node:http";
import type { Socket } from "node:net";
import type { BitsAnswer } from "@ckmesh/bits";
import type { Entrance } from "../access/entrance.js";
import type { RequestFacts } from "../listener/request-facts.js";

/** A `BITS_POST` whose head was read and checked as HTTP. */
export interface BitsRequest {
  readonly socket: Socket;
  /** In origin form, as the client wrote it. */
  readonly target: string;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  /** Undefined: the client did not say, and there is no body. */
  readonly contentLength: number | undefined;
  /** Aborted when the connection breaks. */
  readonly signal: AbortSignal;
  /** For the request log; whoever answers fills it in. */
  readonly facts: RequestFacts;
  /**
   * The next bytes of the body, valid until the next call; undefined after the last. Nothing more is read from the
   * socket than asked for here.
   * @throws {AppError} ERR_ABORTED when the connection breaks, ERR_TIMEOUT when it is too slow
   */
  read(): Promise<Buffer | undefined>;
}

/**
 * Answers one `BITS_POST`; the accounts were looked at just now. Never throws for what a client does, except what
 * `read` throws. What is left of the body is drained, or the connection closed, by the caller.
 */
export type BitsHandler = (request: BitsRequest, entrance: Entrance) => Promise<BitsAnswer>;
