import { describeError, isAppError } from "@ckmesh/core";
import {
  CLAIM_RULES,
  type FromTracker,
  joinProof,
  MAX_HELLO_ADDRESSES,
  type ProgressReport,
  type ToTracker,
} from "@ckmesh/wire";
import { reconnectDelay } from "./reconnect-delay.js";
import { TrackerAgenda } from "./tracker-agenda.js";
import { TrackerConnection } from "./tracker-connection.js";
import {
  checkTrackerLinkOptions,
  type TrackerLinkOptions,
  type TrackerLinkStatus,
} from "./tracker-link-options.js";

/** From the start of a connection to the tracker's welcome. */
const WELCOME_TIMEOUT_MS = 15_000;
/** The tracker asks for a sign of life every 30 s: without it the connection is dead. */
const SILENCE_MS = 90_000;
/** A connection that lasted so long counts as one that worked. */
const WORKED_MS = 30_000;
/** One report and one publication of an image this often at most: a burst would be refused. */
const NEWS_MS = 5_000;
/** Bounds of what the tracker asks for. */
const MIN_ANNOUNCE_MS = 1_000;
const MAX_ANNOUNCE_MS = 3_600_000;
const MAX_RETRY_MS = 600_000;

/** One attempt, from connecting to the loss of the connection. */
interface Session {
  readonly connection: TrackerConnection;
  isChallenged: boolean;
  isWelcome: boolean;
  announceMs: number;
  /** Of a refusal: the least time until the next attempt. */
  retryMs: number;
  /** Why the origin gave no new ticket; empty when it did or need not. */
  ticketError: string;
}

/**
 * A client's connection to its tracker: says hello, announces swarms again and again, hands on what comes,
 * and connects again for ever. Connecting → connected (after welcome) → waiting → connecting …
 */
export class TrackerLink {
  readonly #options: TrackerLinkOptions;
  readonly #agenda = new TrackerAgenda();
  readonly #timers = new Map<string, () => void>();
  #session: Session | undefined;
  #status: TrackerLinkStatus = { state: "waiting" };
  #failures = 0;
  #lastTicket: Uint8Array | undefined;
  #isClosed = false;

  /** @throws {AppError} ERR_CONFIG_INVALID when `url` is no tracker's URL or `ca` no certificate */
  constructor(options: TrackerLinkOptions) {
    checkTrackerLinkOptions(options);
    this.#options = options;
  }

  get status(): TrackerLinkStatus {
    return this.#status;
  }

  /** Connects, and from now on always again. */
  start(): void {
    if (this.#session === undefined && !this.#isClosed && !this.#timers.has("connect")) this.#connect();
  }

  /** Announces a swarm now if it is new, and then as often as the tracker asks, with the last figures. */
  announce(swarm: Uint8Array, have: number, rows: number): void {
    const noted = this.#agenda.announce(swarm, have, rows);
    if (noted === "new") this.#tell([{ type: "announce", swarm, have, rows }]);
    else if (noted === "full")
      this.#options.logger.warn({}, "too many swarms for the tracker, not announced");
  }

  leave(swarm: Uint8Array): void {
    if (this.#agenda.leave(swarm)) this.#tell([{ type: "leave", swarm }]);
  }

  /** Sends the report within 5 s; a newer one of the same image takes its place. */
  report(report: ProgressReport): void {
    this.#agenda.report(report);
    if (!this.#timers.has("report")) this.#flushReports();
  }

  /**
   * For an origin: sent within 5 s or, when there is no connection, with the next one. A later version of the
   * same image takes its place.
   */
  publish(image: string, version: number): void {
    this.#agenda.publish(image, version);
    if (!this.#timers.has("published")) this.#flushPublished();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    const session = this.#session;
    this.#session = undefined;
    this.#setStatus({ state: "closed" });
    await session?.connection.close();
  }

  #connect(): void {
    const { url, ca, proxy, clock } = this.#options;
    const { lastError } = this.#status;
    this.#setStatus({ state: "connecting", ...(lastError === undefined ? {} : { lastError }) });
    const session: Session = {
      connection: new TrackerConnection({
        url,
        ...(ca === undefined ? {} : { ca }),
        ...(proxy === undefined ? {} : { proxy }),
        clock,
        onMessage: (message) => this.#take(session, message),
        onLost: (reason) => this.#onLost(session, reason),
      }),
      isChallenged: false,
      isWelcome: false,
      announceMs: MAX_ANNOUNCE_MS,
      retryMs: 0,
      ticketError: "",
    };
    this.#session = session;
    this.#after("welcome", WELCOME_TIMEOUT_MS, () =>
      session.connection.lose("the tracker did not answer in time"),
    );
  }

  /** Plans the next attempt. */
  #onLost(session: Session, reason: string): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    for (const name of ["welcome", "announce", "report", "published", "silence"]) this.#cancel(name);
    const { clock, random, logger } = this.#options;
    const hasWorked = session.isWelcome && clock.now() - session.connection.startedAt >= WORKED_MS;
    this.#failures = hasWorked ? 0 : this.#failures + 1;
    const delayMs = Math.max(reconnectDelay(this.#failures, random), session.retryMs);
    logger.info(
      { reason, delayMs: Math.round(delayMs), failures: this.#failures },
      "tracker connection lost",
    );
    this.#setStatus({ state: "waiting", lastError: reason });
    this.#after("connect", delayMs, () => this.#connect());
  }

  #take(session: Session, message: FromTracker): void {
    const { handler } = this.#options;
    switch (message.type) {
      case "challenge":
        if (session.isChallenged) session.connection.lose("the tracker sent a second challenge");
        else void this.#sayHello(session, message.nonce.slice());
        return;
      case "refused":
        session.retryMs = Math.min(message.retryMs, MAX_RETRY_MS);
        session.connection.lose(refusalText(message, session.ticketError));
        return;
      case "welcome":
        if (session.isChallenged && !session.isWelcome) this.#onWelcome(session, message);
        else session.connection.lose("the tracker sent welcome out of turn");
        return;
      case "peers": {
        const swarm = this.#agenda.find(message.swarm);
        if (session.isWelcome && swarm !== undefined) handler.peers?.(swarm, message.peers, message.complete);
        return;
      }
      case "published":
        if (session.isWelcome) handler.published?.(message.image, message.version);
        return;
    }
  }

  async #sayHello(session: Session, nonce: Uint8Array): Promise<void> {
    session.isChallenged = true;
    const ticket = await this.#ticket(session);
    if (this.#session !== session) return;
    try {
      session.connection.send(this.#hello(nonce, ticket));
    } catch (err) {
      session.connection.lose(`cannot say hello: ${describeError(err)}`);
    }
  }

  /**
   * A new ticket, or while the origin cannot be reached the last one: it may still be good. None where the origin says
   * no: what it does not give, the tracker must not give either.
   */
  async #ticket(session: Session): Promise<Uint8Array | undefined> {
    try {
      this.#lastTicket = await this.#options.ticket?.();
    } catch (err) {
      session.ticketError = describeError(err);
      if (isAppError(err, "ERR_AUTH_REQUIRED") || isAppError(err, "ERR_AUTH_FORBIDDEN")) {
        this.#lastTicket = undefined;
      }
      this.#options.logger.info({ reason: session.ticketError }, "no new ticket for the tracker");
    }
    return this.#lastTicket;
  }

  #hello(nonce: Uint8Array, ticket: Uint8Array | undefined): ToTracker {
    const { peerId, joinKey, site, peerClass, peerPort, whereabouts } = this.#options;
    const { addresses, subnets } = whereabouts();
    return {
      type: "hello",
      peerId,
      ...(ticket === undefined ? {} : { ticket }),
      ...(joinKey === undefined ? {} : { joinProof: joinProof(joinKey, nonce, peerId) }),
      ...(site === undefined ? {} : { site }),
      addresses: addresses.slice(0, MAX_HELLO_ADDRESSES),
      subnets: subnets.slice(0, MAX_HELLO_ADDRESSES),
      port: peerPort(),
      peerClass,
      requires: [],
      claimRules: CLAIM_RULES,
    };
  }

  #onWelcome(session: Session, welcome: Extract<FromTracker, { type: "welcome" }>): void {
    session.isWelcome = true;
    session.announceMs = Math.min(MAX_ANNOUNCE_MS, Math.max(MIN_ANNOUNCE_MS, welcome.announceMs));
    this.#cancel("welcome");
    this.#options.logger.info({ site: welcome.site, observed: welcome.observed }, "tracker connected");
    this.#setStatus({ state: "connected", site: welcome.site });
    this.#options.handler.welcome?.(welcome);
    this.#tell(this.#agenda.announces());
    this.#planAnnounces(session);
    this.#watchSilence(session.connection);
    this.#flushReports();
    this.#flushPublished();
  }

  #planAnnounces(session: Session): void {
    if (this.#session !== session) return;
    // A little early and never in step with others.
    const ms = session.announceMs * (0.8 + 0.2 * this.#options.random.next());
    this.#after("announce", ms, () => {
      this.#tell(this.#agenda.announces());
      this.#planAnnounces(session);
    });
  }

  #watchSilence(connection: TrackerConnection): void {
    if (this.#session?.connection !== connection) return;
    const left = connection.heardAt + SILENCE_MS - this.#options.clock.now();
    if (left <= 0) connection.lose("nothing heard of the tracker for 90 s");
    else this.#after("silence", left, () => this.#watchSilence(connection));
  }

  #flushReports(): void {
    if (this.#session?.isWelcome !== true) return;
    const reports = this.#agenda.takeReports();
    this.#tell(reports);
    if (reports.length > 0) this.#after("report", NEWS_MS, () => this.#flushReports());
  }

  #flushPublished(): void {
    if (this.#session?.isWelcome !== true) return;
    const published = this.#agenda.takePublished();
    this.#tell(published);
    if (published.length > 0) this.#after("published", NEWS_MS, () => this.#flushPublished());
  }

  /** Sends while there is a connection that was welcomed. */
  #tell(messages: readonly ToTracker[]): void {
    for (const message of messages) {
      if (this.#session?.isWelcome === true) this.#session.connection.send(message);
    }
  }

  #setStatus(status: TrackerLinkStatus): void {
    this.#status = status;
    this.#options.handler.status?.(status);
  }

  #after(name: string, ms: number, run: () => void): void {
    this.#cancel(name);
    const cancel = this.#options.clock.after(ms, () => {
      this.#timers.delete(name);
      run();
    });
    this.#timers.set(name, cancel);
  }

  #cancel(name: string): void {
    this.#timers.get(name)?.();
    this.#timers.delete(name);
  }
}

function refusalText(refused: Extract<FromTracker, { type: "refused" }>, ticketError: string): string {
  const text = `refused: ${refused.message} (${refused.remoteCode})`;
  return ticketError === "" ? text : `${text}; no ticket from the origin: ${ticketError}`;
}
