import { type ClientLogon, type LogonStep, RequestLogon } from "@ckmesh/auth";
import { AppError, type Clock, describeError, isAppError } from "@ckmesh/core";
import { ConnectionGate } from "../connection-gate.js";
import type { TicketSource } from "./kerberos-tickets.js";
import type { Lane, LaneRequest, Opener, RawAnswer } from "./lane.js";
import { readErrorPage } from "./origin-body.js";
import { errorOfLogon } from "./origin-error.js";
import { bareHost } from "./proxy.js";

export interface OriginLanesOptions {
  readonly url: URL;
  readonly lanes: number;
  readonly makeLane: () => Lane;
  /** Absent: no credentials, a 401 is an answer like any other. */
  readonly logon?: ClientLogon;
  readonly tickets: TicketSource;
  readonly clock: Clock;
}

export interface LaneAnswer {
  readonly answer: RawAnswer;
  /** Gives the connection back; the body must have been read, dropped or destroyed. */
  readonly release: () => void;
}

/** A lane, and what was seen on it. The numbers are of connections. */
interface LaneState {
  readonly lane: Lane;
  isBusy: boolean;
  /** Where a ticket was accepted. */
  ticketOn?: number;
  /** Where credentials were accepted, or none were asked for. */
  openOn?: number;
}

/** Servers that go on asking on a connection that is logged on get the next try with the body and all. */
const MAX_OPENINGS = 2;

/**
 * Connections to the origin, each with one request at a time, so that the steps of a logon and the requests that
 * follow it share a socket: one handshake per connection. A password that the server has not accepted yet is tried by
 * one request at a time.
 */
export class OriginLanes {
  readonly #options: OriginLanesOptions;
  readonly #lanes: LaneState[] = [];
  /** Of those who send a password that may be wrong. */
  readonly #turns = new ConnectionGate(1);
  #isClosed = false;

  constructor(options: OriginLanesOptions) {
    this.#options = options;
  }

  /**
   * Sends a request. The caller makes sure that there are never more at a time than lanes.
   * @throws {AppError} ERR_AUTH_REQUIRED when the logon failed; else what the lane or the socket throws
   */
  async send(request: LaneRequest): Promise<LaneAnswer> {
    const state = this.#take();
    try {
      const { opener } = request;
      const answer =
        opener === undefined || this.#options.logon === undefined
          ? await this.#exchange(state, request)
          : await this.#sendOpened(state, request, opener);
      return {
        answer,
        release: () => {
          state.isBusy = false;
        },
      };
    } catch (err) {
      state.isBusy = false;
      throw err;
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#turns.close();
    await Promise.all(this.#lanes.map(({ lane }) => lane.close()));
  }

  /** A connection that is up already goes first. */
  #take(): LaneState {
    if (this.#isClosed) throw new AppError("ERR_ABORTED", "the connection to the origin was closed");
    const free = this.#lanes.filter((each) => !each.isBusy);
    let state = free.find(({ lane }) => lane.isConnected) ?? free[0];
    if (state === undefined) {
      if (this.#lanes.length >= this.#options.lanes) throw new Error("unreachable: more requests than lanes");
      state = { lane: this.#options.makeLane(), isBusy: false };
      this.#lanes.push(state);
    }
    state.isBusy = true;
    return state;
  }

  /** The logon is done with the opener; a connection may be lost, and with it the logon, before each request. */
  async #sendOpened(state: LaneState, request: LaneRequest, opener: Opener): Promise<RawAnswer> {
    const { lane } = state;
    const { path, what, signal } = request;
    for (let openings = 0; openings <= MAX_OPENINGS; openings += 1) {
      if (!lane.isConnected || state.openOn !== lane.connection) {
        const opened = await this.#exchange(state, { ...opener, path, what, signal });
        if (opened.statusCode >= 300) return opened;
        await this.#drop(opened);
        state.openOn = lane.connection;
      }
      const authorization = await this.#authorizationAhead();
      const answer = await send(lane, request, authorization);
      if (answer.statusCode !== 401) return answer;
      await this.#drop(answer);
      delete state.openOn;
      if (authorization === undefined) this.#noteForgotten(state);
    }
    return this.#exchange(state, request);
  }

  /** What goes with a request on a connection that is logged on. */
  async #authorizationAhead(): Promise<string | undefined> {
    const { logon: shared, clock } = this.#options;
    if (shared === undefined) return undefined;
    const logon = new RequestLogon(shared);
    let step = logon.first(clock.now());
    if (step?.type === "get-ticket") step = await this.#ticket(logon);
    return step?.type === "send" && !step.isBound ? step.authorization : undefined;
  }

  async #exchange(state: LaneState, request: LaneRequest): Promise<RawAnswer> {
    const { logon: shared, clock } = this.#options;
    const { lane } = state;
    if (shared === undefined) return send(lane, request, undefined);
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
        const answer = await send(lane, request, sent?.authorization);
        if (answer.statusCode !== 401) {
          logon.answered(isJudged(answer.statusCode));
          if (sent !== undefined) state.openOn = lane.connection;
          if (sent?.stakes === "ticket") state.ticketOn = lane.connection;
          return answer;
        }
        const lines = challengeLines(answer);
        await this.#drop(answer);
        if (sent === undefined) this.#noteForgotten(state);
        step =
          isBound && lane.connection !== carrier
            ? logon.lost()
            : logon.challenged(lines, this.#binding(lane), clock.now());
      }
    } finally {
      if (hasTurn) this.#turns.leave();
    }
  }

  /** Reads an answer that nobody wants, so that its connection stays. */
  async #drop({ body }: RawAnswer): Promise<void> {
    body.on("error", () => {}); // after its end nobody else listens
    await readErrorPage(body, this.#options.clock);
  }

  /** A request without credentials was refused. */
  #noteForgotten({ lane, ticketOn }: LaneState): void {
    if (ticketOn === lane.connection) this.#options.logon?.forgotTicket();
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

async function send(lane: Lane, request: LaneRequest, authorization: string | undefined): Promise<RawAnswer> {
  const answer = await lane.send(request, authorization);
  if (/\bclose\b/i.test(String(answer.headers["connection"] ?? ""))) lane.closing();
  return answer;
}

/** Whether the server looked at the credentials before it gave this answer: overload and redirects come before that. */
function isJudged(status: number): boolean {
  return (status >= 200 && status < 300) || JUDGED.has(status);
}

const JUDGED: ReadonlySet<number> = new Set([304, 403, 404, 410, 412, 416]);

function challengeLines({ headers }: RawAnswer): readonly string[] {
  const value = headers["www-authenticate"];
  return value === undefined ? [] : typeof value === "string" ? [value] : value;
}
