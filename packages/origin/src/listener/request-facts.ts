import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock, Metrics } from "@ckmesh/core";
import type { Visitor } from "../access/access.js";
import type { W3cLog } from "../logs/w3c-log.js";
import { siteLabelOf, spanOf } from "./site-headers.js";

/** What is known of a request under way, beside the request itself. */
export interface RequestFacts {
  visitor: Visitor | undefined;
  /** IIS's second number of the answer. */
  subStatus: number;
}

export type RecordedRequest = Pick<IncomingMessage, "socket" | "method" | "headers">;

/** A request that is being written down. */
export interface RequestEntry {
  readonly facts: RequestFacts;
  /**
   * Call once, when the answer is out or nobody is there to read it.
   * @param receivedBytes head and body; default: what the connection has read since
   */
  readonly end: (status: number, receivedBytes?: number) => void;
}

export interface RequestRecorderOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: W3cLog | undefined;
}

/** Buckets of a range request on a LAN to a whole image over a slow link, in seconds. */
const SECONDS = [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800];

/** Follows each request to its end, for the request log and the metrics. */
export class RequestRecorder {
  readonly #options: RequestRecorderOptions;
  readonly #facts = new WeakMap<IncomingMessage, RequestFacts>();
  readonly #requests;
  readonly #bytes;
  readonly #seconds;
  readonly #underway;
  #count = 0;
  #whenIdle: (() => void) | undefined;

  constructor(options: RequestRecorderOptions) {
    this.#options = options;
    const { metrics } = options;
    this.#requests = metrics.counter("ckmesh_origin_requests_total", "Answered requests", ["status"]);
    this.#bytes = metrics.counter("ckmesh_origin_sent_bytes_total", "Bytes sent, headers included");
    this.#seconds = metrics.histogram(
      "ckmesh_origin_request_seconds",
      "Time to the end of the answer",
      SECONDS,
    );
    this.#underway = metrics.gauge("ckmesh_origin_requests_underway", "Requests being answered");
  }

  /** Call once, before anything else is done with the request. */
  begin(request: IncomingMessage, response: ServerResponse, target: string): RequestFacts {
    const entry = this.open(request, target);
    this.#facts.set(request, entry.facts);
    response.once("close", () => entry.end(response.statusCode));
    return entry.facts;
  }

  /** For a request that Node's parser does not know; whoever answers it says when that is done. */
  open(request: RecordedRequest, target: string): RequestEntry {
    const { clock } = this.#options;
    const facts: RequestFacts = { visitor: undefined, subStatus: 0 };
    const { socket } = request;
    const startedAt = clock.now();
    const [sentBefore, receivedBefore] = [socket.bytesWritten, socket.bytesRead];
    // Read now: a destroyed socket has no addresses any more.
    const { localAddress = "", localPort = 0, remoteAddress = "" } = socket;
    this.#underway.set((this.#count += 1));
    const end = (status: number, receivedBytes = socket.bytesRead - receivedBefore): void => {
      const sentBytes = socket.bytesWritten - sentBefore;
      const ms = clock.now() - startedAt;
      this.#requests.add(1, { status: `${Math.floor(status / 100)}xx` });
      this.#bytes.add(sentBytes);
      this.#seconds.observe(ms / 1000);
      this.#options.log?.write({
        serverAddress: plainAddress(localAddress),
        serverPort: localPort,
        method: request.method ?? "",
        target,
        user: facts.visitor?.identity?.name,
        clientAddress: plainAddress(remoteAddress),
        userAgent: request.headers["user-agent"],
        status,
        subStatus: facts.subStatus,
        sentBytes,
        receivedBytes,
        ms,
        site: siteLabelOf(request),
        span: spanOf(request),
      });
      this.#underway.set((this.#count -= 1));
      if (this.#count === 0) this.#whenIdle?.();
    };
    return { facts, end };
  }

  /** Resolves when every request has been written down, after `limitMs` at the latest. */
  async idle(limitMs: number): Promise<void> {
    if (this.#count === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(limitMs, resolve);
      this.#whenIdle = () => {
        cancel();
        resolve();
      };
    });
  }

  of(request: IncomingMessage): RequestFacts {
    const facts = this.#facts.get(request);
    if (facts === undefined) throw new Error("unreachable: a request that was not begun");
    return facts;
  }
}

/** IPv4 in its own form, also on a listener for both families. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}
