import { AppError, describeError } from "@ckmesh/core";
import {
  CLAIM_RULES,
  decodeFromTracker,
  encodeToTracker,
  type FromTracker,
  joinProof,
  MAX_HELLO_ADDRESSES,
  MAX_TRACKER_MESSAGE_BYTES,
  type ProgressReport,
  type ToTracker,
} from "@ckmesh/wire";
import { WebSocket } from "ws";
import { reconnectDelay } from "./reconnect-delay.js";
import { TokenBucket } from "./token-bucket.js";
import { TrackerAgenda } from "./tracker-agenda.js";
import {
  asCa,
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
/** More unread than this and the connection is given up. */
const MAX_BUFFERED_BYTES = 256 * 1024;
/** One report about an image this often at most. */
const REPORT_MS = 5_000;
/** What the tracker may send. */
const MESSAGES_PER_SEC = 50;
const MESSAGE_BURST = 500;
/** Bounds of what the tracker asks for. */
const [MIN_ANNOUNCE_MS, MAX_ANNOUNCE_MS] = [1_000, 3_600_000];
const MAX_RETRY_MS = 600_000;

interface Connection {
  readonly socket: WebSocket;
  readonly startedAt: number;
  readonly incoming: TokenBucket;
  heardAt: number;
  isChallenged: boolean;
  isWelcome: boolean;
  announceMs: number;
  /** Of a refusal; the least time until the next attempt. */
  retryMs: number;
  /** Why the origin gave no new ticket; empty when it did or need not. */
  ticketError: string;
}

/**
 * A client's connection to its tracker: says hello, announces swarms again and again, hands on what comes,
 * and connects again for ever. Idle → connecting → connected (after welcome) → waiting → connecting …
 */
export class TrackerLink {
  readonly #options: TrackerLinkOptions;
  readonly #agenda = new TrackerAgenda();
  readonly #timers = new Map<string, () => void>();
  #connection: Connection | undefined;
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
    if (this.#connection === undefined && !this.#isClosed && !this.#timers.has("connect")) this.#connect();
  }

  /** Announces a swarm now if it is new, and then as often as the tracker asks, with the last figures. */
  announce(swarm: Uint8Array, have: number, rows: number): void {
    const noted = this.#agenda.announce(swarm, have, rows);
    if (noted === "new") this.#sendWelcomed([{ type: "announce", swarm, have, rows }]);
    else if (noted === "full")
      this.#options.logger.warn({}, "too many swarms for the tracker, not announced");
  }

  leave(swarm: Uint8Array): void {
    if (this.#agenda.leave(swarm)) this.#sendWelcomed([{ type: "leave", swarm }]);
  }

  /** Sends the report within 5 s; a newer one of the same image takes its place. */
  report(report: ProgressReport): void {
    this.#agenda.report(report);
    if (!this.#timers.has("report")) this.#flushReports();
  }

  /** For an origin: sent now or, when there is no connection, with the next one. */
  publish(image: string, version: number): void {
    this.#agenda.publish(image, version);
    this.#flushPublished();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    const socket = this.#connection?.socket;
    this.#connection = undefined;
    this.#setStatus({ state: "closed" });
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return;
    const gone = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.terminate();
    await gone;
  }

  #connect(): void {
    const { url, ca, clock } = this.#options;
    this.#setStatus(withError("connecting", this.#status.lastError));
    const socket = new WebSocket(url, {
      perMessageDeflate: false,
      maxPayload: MAX_TRACKER_MESSAGE_BYTES,
      handshakeTimeout: WELCOME_TIMEOUT_MS,
      followRedirects: false,
      ...(ca === undefined ? {} : { ca: asCa(ca) }),
    });
    const now = clock.now();
    const connection: Connection = {
      socket,
      startedAt: now,
      heardAt: now,
      incoming: new TokenBucket(MESSAGES_PER_SEC, MESSAGE_BURST, now),
      isChallenged: false,
      isWelcome: false,
      announceMs: MAX_ANNOUNCE_MS,
      retryMs: 0,
      ticketError: "",
    };
    this.#connection = connection;
    this.#after("welcome", WELCOME_TIMEOUT_MS, () =>
      this.#drop(connection, "the tracker did not answer in time"),
    );
    socket.on("message", (data, isBinary) => {
      this.#onMessage(connection, isBinary && data instanceof Uint8Array ? data : undefined);
    });
    socket.on("ping", () => {
      connection.heardAt = clock.now();
    });
    socket.on("error", (err) => this.#drop(connection, describeError(err)));
    socket.on("close", (code) => this.#drop(connection, `the tracker closed the connection (${code})`));
  }

  /** Ends a connection and plans the next one. Only the first call for a connection counts. */
  #drop(connection: Connection, reason: string): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    for (const name of ["welcome", "announce", "report", "silence"]) this.#cancel(name);
    connection.socket.terminate();
    const { clock, random, logger } = this.#options;
    const hasWorked = connection.isWelcome && clock.now() - connection.startedAt >= WORKED_MS;
    this.#failures = hasWorked ? 0 : this.#failures + 1;
    const delayMs = Math.max(reconnectDelay(this.#failures, random), connection.retryMs);
    logger.info(
      { reason, delayMs: Math.round(delayMs), failures: this.#failures },
      "tracker connection lost",
    );
    this.#setStatus({ state: "waiting", lastError: reason });
    this.#after("connect", delayMs, () => this.#connect());
  }

  #onMessage(connection: Connection, bytes: Uint8Array | undefined): void {
    if (this.#connection !== connection) return;
    const now = this.#options.clock.now();
    connection.heardAt = now;
    if (!connection.incoming.take(now)) {
      this.#drop(connection, "the tracker sends too many messages");
      return;
    }
    try {
      if (bytes === undefined) throw new AppError("ERR_WIRE_MESSAGE_INVALID", "messages are binary");
      this.#take(connection, decodeFromTracker(bytes));
    } catch (err) {
      if (!(err instanceof AppError) || err.code !== "ERR_WIRE_MESSAGE_INVALID") throw err;
      this.#drop(connection, `the tracker sent an invalid message: ${err.message}`);
    }
  }

  #take(connection: Connection, message: FromTracker): void {
    const { handler } = this.#options;
    switch (message.type) {
      case "challenge":
        if (connection.isChallenged) this.#drop(connection, "the tracker sent a second challenge");
        else void this.#sayHello(connection, message.nonce.slice());
        return;
      case "refused":
        connection.retryMs = Math.min(message.retryMs, MAX_RETRY_MS);
        this.#drop(
          connection,
          `refused: ${message.message} (${message.remoteCode})${
            connection.ticketError === "" ? "" : `; no ticket from the origin: ${connection.ticketError}`
          }`,
        );
        return;
      case "welcome":
        if (!connection.isChallenged || connection.isWelcome) {
          this.#drop(connection, "the tracker sent welcome out of turn");
          return;
        }
        this.#onWelcome(connection, message);
        return;
      case "peers": {
        const swarm = this.#agenda.find(message.swarm);
        if (connection.isWelcome && swarm !== undefined) {
          handler.peers?.(swarm, message.peers, message.complete);
        }
        return;
      }
      case "published":
        if (connection.isWelcome) handler.published?.(message.image, message.version);
        return;
    }
  }

  async #sayHello(connection: Connection, nonce: Uint8Array): Promise<void> {
    connection.isChallenged = true;
    const ticket = await this.#ticket(connection);
    if (this.#connection !== connection) return;
    try {
      this.#send(connection, this.#hello(nonce, ticket));
    } catch (err) {
      this.#drop(connection, `cannot say hello: ${describeError(err)}`);
    }
  }

  /** A new ticket, or while the origin cannot be reached the last one: it may still be good. */
  async #ticket(connection: Connection): Promise<Uint8Array | undefined> {
    try {
      this.#lastTicket = await this.#options.ticket?.();
    } catch (err) {
      connection.ticketError = describeError(err);
      this.#options.logger.info({ reason: connection.ticketError }, "no new ticket for the tracker");
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

  #onWelcome(connection: Connection, welcome: Extract<FromTracker, { type: "welcome" }>): void {
    connection.isWelcome = true;
    connection.announceMs = Math.min(MAX_ANNOUNCE_MS, Math.max(MIN_ANNOUNCE_MS, welcome.announceMs));
    this.#cancel("welcome");
    this.#options.logger.info({ site: welcome.site, observed: welcome.observed }, "tracker connected");
    this.#setStatus({ state: "connected", site: welcome.site });
    this.#options.handler.welcome?.(welcome);
    this.#sendWelcomed(this.#agenda.announces());
    this.#planAnnounces(connection);
    this.#watchSilence(connection);
    this.#flushReports();
    this.#flushPublished();
  }

  #planAnnounces(connection: Connection): void {
    // A little early and never in step with others.
    const ms = connection.announceMs * (0.8 + 0.2 * this.#options.random.next());
    this.#after("announce", ms, () => {
      this.#sendWelcomed(this.#agenda.announces());
      this.#planAnnounces(connection);
    });
  }

  #watchSilence(connection: Connection): void {
    const left = connection.heardAt + SILENCE_MS - this.#options.clock.now();
    if (left <= 0) this.#drop(connection, "nothing heard of the tracker for 90 s");
    else this.#after("silence", left, () => this.#watchSilence(connection));
  }

  #flushReports(): void {
    if (this.#connection?.isWelcome !== true) return;
    const reports = this.#agenda.takeReports();
    this.#sendWelcomed(reports);
    if (reports.length > 0) this.#after("report", REPORT_MS, () => this.#flushReports());
  }

  #flushPublished(): void {
    if (this.#connection?.isWelcome === true) this.#sendWelcomed(this.#agenda.takePublished());
  }

  #sendWelcomed(messages: readonly ToTracker[]): void {
    for (const message of messages) {
      const connection = this.#connection;
      if (connection?.isWelcome === true) this.#send(connection, message);
    }
  }

  #send(connection: Connection, message: ToTracker): void {
    const { socket } = connection;
    if (socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      this.#drop(connection, "the tracker does not read");
      return;
    }
    socket.send(encodeToTracker(message), { binary: true }, (err) => {
      if (err) this.#drop(connection, describeError(err));
    });
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

function withError(state: "connecting", lastError: string | undefined): TrackerLinkStatus {
  return lastError === undefined ? { state } : { state, lastError };
}
