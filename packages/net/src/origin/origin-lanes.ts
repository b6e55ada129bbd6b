import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { type ClientLogon, type LogonStep, RequestLogon, tlsServerEndPoint } from "@ckmesh/auth";
import { AppError, type Clock, describeError, isAppError } from "@ckmesh/core";
import { Client, type Dispatcher } from "undici";
import { ConnectionGate } from "../connection-gate.js";
import type { TicketSource } from "./kerberos-tickets.js";
import { readErrorPage } from "./origin-body.js";
import { errorOfLogon } from "./origin-error.js";
import type { OriginSockets } from "./origin-socket.js";
import { bareHost } from "./proxy.js";

/** Kerberos replies are larger than the 16 KiB that Node takes by itself. */
const MAX_HEADER_BYTES = 65_536;
/**
 * An unused connection is kept for this long where the server does not say, ms: a logon costs up to four round trips,
 * and stock servers keep them for 5 (Node, Apache; both say so) to 120 s.
 */
const KEEP_ALIVE_MS = 15_000;

export interface OriginLanesOptions {
  readonly url: URL;
  readonly lanes: number;
  readonly sockets: OriginSockets;
  /** Paths go to a proxy in their absolute form (RFC 9112 §3.2.2), with this. */
  readonly proxyAuthorization?: string;
  readonly isPlainProxied: boolean;
  /** Absent: no credentials, a 401 is an answer like any other. */
  readonly logon?: ClientLogon;
  readonly tickets: TicketSource;
  readonly clock: Clock;
  readonly headTimeoutMs: number;
  readonly bodyTimeoutMs: number;
}

export interface LaneRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** For messages. */
  readonly what: string;
  readonly signal: AbortSignal | undefined;
}

export interface LaneAnswer {
  readonly answer: Dispatcher.ResponseData;
  /** Gives the connection back; the body must have been read, dropped or destroyed. */
  readonly release: () => void;
}

/**
 * Connections to the origin, each with one request at a time, so that the steps of a logon and the requests that
 * follow it share a socket: one handshake per connection. A password that the server has not accepted yet is tried by
 * one request at a time.
 */
export class OriginLanes {
  readonly #options: OriginLanesOptions;
  readonly #lanes: Lane[] = [];
  /** Of those who send a password that may be wrong. */
  readonly #turns = new ConnectionGate(1);
  #isClosed = false;

  constructor(options: OriginLanesOptions) {
    this.#options = options;
  }

  /**
   * Sends a GET. The caller makes sure that there are never more at a time than lanes.
   * @throws {AppError} ERR_AUTH_REQUIRED when the logon failed; else what undici or the socket throws
   */
  async get(request: LaneRequest): Promise<LaneAnswer> {
    const lane = this.#take();
    try {
      const answer = await this.#exchange(lane, request);
      return {
        answer,
        release: () => {
          lane.isBusy = false;
        },
      };
    } catch (err) {
      lane.isBusy = false;
      throw err;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#turns.close();
    await Promise.all(this.#lanes.map((lane) => lane.client.destroy()));
  }

  /** A connection that is up already goes first. */
  #take(): Lane {
    if (this.#isClosed) throw new AppError("ERR_ABORTED", "the connection to the origin was closed");
    const free = this.#lanes.filter((lane) => !lane.isBusy);
    let lane = free.find((each) => each.isConnected) ?? free[0];
    if (lane === undefined) {
      if (this.#lanes.length >= this.#options.lanes) throw new Error("unreachable: more requests than lanes");
      lane = new Lane(this.#options);
      this.#lanes.push(lane);
    }
    lane.isBusy = true;
    return lane;
  }

  async #exchange(lane: Lane, request: LaneRequest): Promise<Dispatcher.ResponseData> {
    const { logon: shared, clock } = this.#options;
    if (shared === undefined) return lane.send(request, undefined);
    const logon = new RequestLogon(shared);
    let hasTurn = false;
    /** A password that may be wrong is not sent by two requests at a time. */
    const takeTurn = async (): Promise<void> => {
      if (hasTurn || shared.standing.isProven) return;
      await this.#turns.enter(request.signal);
      hasTurn = true;
    };
    try {
      if (shared.isBasicFirst) await takeTurn();
      let step: LogonStep | undefined = logon.first(clock.now());
      for (;;) {
        while (step?.type === "get-ticket") step = await this.#ticket(logon);
        if (step?.type === "give-up") throw this.#failure(step, request.what);
        if (step?.type === "send" && step.stakes === "password" && !hasTurn) {
          await takeTurn();
          const refused = logon.recheck(clock.now());
          if (refused?.type === "give-up") throw this.#failure(refused, request.what);
        }
        const isBound = step?.type === "send" && step.isBound;
        const carrier = lane.connection;
        if (isBound && !lane.isConnected) {
          step = logon.lost();
          continue;
        }
        const sent: Extract<LogonStep, { type: "send" }> | undefined =
          step?.type === "send" ? step : undefined;
        const answer = await lane.send(request, sent?.authorization);
        if (answer.statusCode !== 401) {
          logon.answered(isJudged(answer.statusCode));
          if (sent?.stakes === "ticket") lane.ticketOn = lane.connection;
          return answer;
        }
        const lines = challengeLines(answer);
        const isClosing = /\bclose\b/i.test(String(answer.headers["connection"] ?? ""));
        answer.body.on("error", () => {}); // after its end nobody else listens
        await readErrorPage(answer.body, clock);
        if (isClosing) lane.isConnected = false;
        if (sent === undefined && lane.ticketOn === lane.connection) shared.forgotTicket();
        step =
          isBound && lane.connection !== carrier
            ? logon.lost()
            : logon.challenged(lines, this.#binding(lane), clock.now());
      }
    } finally {
      if (hasTurn) this.#turns.leave();
    }
  }

  async #ticket(logon: RequestLogon): Promise<LogonStep | undefined> {
    const { tickets, url, clock } = this.#options;
    try {
      return logon.ticket({ token: await tickets.token(bareHost(url.hostname)) }, clock.now());
    } catch (err) {
      const problem = isAppError(err) ? err.message : describeError(err);
      return logon.ticket({ problem }, clock.now());
    }
  }

  #binding(lane: Lane) {
    const { url, clock } = this.#options;
    const { channelBinding } = lane;
    return {
      spn: `HTTP/${bareHost(url.hostname)}`,
      wallMs: clock.wall(),
      ...(channelBinding !== undefined && { channelBinding }),
    };
  }

  #failure(step: Extract<LogonStep, { type: "give-up" }>, what: string): AppError {
    const { clock, logon } = this.#options;
    const nextTryAt = logon?.standing.nextTryAt;
    return errorOfLogon(
      step,
      what,
      nextTryAt === undefined ? undefined : clock.wall() + nextTryAt - clock.now(),
    );
  }
}

/** One connection at a time, made again when it was lost. */
class Lane {
  readonly client: Client;
  readonly #options: OriginLanesOptions;
  isBusy = false;
  isConnected = false;
  /** The first error of the connection. */
  #socketError: Error | undefined;
  /** Counts the connections made. */
  connection = 0;
  /** The connection on which a ticket was accepted. */
  ticketOn: number | undefined;
  /** Of the connection, over TLS. */
  channelBinding: Uint8Array | undefined;

  constructor(options: OriginLanesOptions) {
    this.#options = options;
    const { url, sockets, headTimeoutMs, bodyTimeoutMs } = options;
    this.client = new Client(url.origin, {
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
    this.client.on("disconnect", () => {
      this.isConnected = false;
    });
  }

  async send(
    { path, headers, signal }: LaneRequest,
    authorization: string | undefined,
  ): Promise<Dispatcher.ResponseData> {
    const { url, isPlainProxied, proxyAuthorization } = this.#options;
    try {
      return await this.client.request({
        path: isPlainProxied ? `${url.origin}${path}` : path,
        method: "GET",
        headers: {
          // No compression: ranges are of the file.
          "accept-encoding": "identity",
          "user-agent": "ckmesh",
          ...headers,
          ...(authorization !== undefined && { authorization }),
          ...(isPlainProxied &&
            proxyAuthorization !== undefined && { "proxy-authorization": proxyAuthorization }),
        },
        ...(signal !== undefined && { signal }),
      });
    } catch (err) {
      // After a TLS alert undici says only that the other side closed.
      const isClosed = err instanceof Error && "code" in err && err.code === "UND_ERR_SOCKET";
      throw isClosed && this.#socketError !== undefined ? this.#socketError : err;
    }
  }

  #opened(socket: Socket): void {
    this.connection += 1;
    this.isConnected = true;
    this.#socketError = undefined;
    socket.on("error", (err) => {
      this.#socketError ??= err;
    });
    const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
    this.channelBinding = certificate === undefined ? undefined : tlsServerEndPoint(certificate.raw);
  }
}

/** Whether the server looked at the credentials before it gave this answer: overload and redirects come before that. */
function isJudged(status: number): boolean {
  return (status >= 200 && status < 300) || JUDGED.has(status);
}

const JUDGED: ReadonlySet<number> = new Set([304, 403, 404, 410, 412, 416]);

function challengeLines({ headers }: Dispatcher.ResponseData): readonly string[] {
  const value = headers["www-authenticate"];
  return value === undefined ? [] : typeof value === "string" ? [value] : value;
}
