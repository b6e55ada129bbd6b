import { AppError, type Clock, isAppError, type Logger, type Random } from "@ckmesh/core";
import {
  type CkMessage,
  decodeCk,
  encodeCk,
  type LinkMessage,
  type LinkRole,
  MAX_RUNS,
  type PeerClass,
  type PeerMessage,
} from "@ckmesh/wire";
import { BittorrentWire } from "./bittorrent-wire.js";
import type { ClaimVerifier } from "./claim-verifier.js";
import type { Identity } from "./identity.js";
import { LinkDelivery } from "./link-delivery.js";
import { LinkHandshake } from "./link-handshake.js";
import { type LinkLimits, MAX_UNSENT_BYTES } from "./link-limits.js";
import { type LinkProgress, LinkWatch } from "./link-watch.js";
import { MessageFramer } from "./message-framer.js";
import { Outbox } from "./outbox.js";
import type { PeerLink, PeerLinkHandler } from "./peer-link.js";
import type { PeerSocket } from "./peer-socket.js";
import type { PeerWire } from "./peer-wire.js";
import { type RowSizes, WireGuard } from "./wire-guard.js";

export interface PeerConnectionOptions {
  readonly socket: PeerSocket;
  readonly role: LinkRole;
  readonly versionId: Uint8Array;
  /** First 20 bytes of the swarm's public id. */
  readonly infohash: Uint8Array;
  readonly sizes: RowSizes;
  readonly claims: ClaimVerifier;
  readonly identity: Identity;
  readonly peerClass: PeerClass;
  /** Where this client listens; 0 for nowhere. */
  readonly listenPort: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly limits: LinkLimits;
  /** When the TCP connection came to be: the handshake deadline counts from there. */
  readonly since: number;
  /** Proven and measured: from now on it is a `PeerLink`. */
  readonly up: (link: PeerLink) => void;
  /** It ended before it was up. */
  readonly failed: (err: AppError) => void;
  /** Always, last. */
  readonly ended: () => void;
}

/** How long a peer may take to read our last words, ms. */
const LINGER_MS = 2000;

/**
 * One connection from the TLS handshake on. States: greeting (BEP 3 and BEP 10 handshakes) → `LinkHandshake`
 * → up → ended. The peer's messages move it forward; the watch ends it when a deadline passes, any violation
 * ends it at once.
 */
export class PeerConnection implements PeerLink {
  readonly inbound: boolean;
  readonly #options: PeerConnectionOptions;
  readonly #wire: PeerWire;
  readonly #guard: WireGuard;
  readonly #framer: MessageFramer;
  readonly #outbox: Outbox;
  readonly #handshake: LinkHandshake;
  readonly #delivery: LinkDelivery;
  readonly #watch: LinkWatch;
  #isUp = false;
  #isEnded = false;
  #isPaused = false;
  #receivedAt: number;
  /** When the message that is still arriving began. */
  #messageSince: number | undefined;
  /** Set while the socket lingers after `close`. */
  #lastWords: (() => void) | undefined;

  constructor(options: PeerConnectionOptions) {
    this.#options = options;
    const { clock, socket } = options;
    this.inbound = options.role === "listener";
    this.#receivedAt = clock.now();
    this.#handshake = new LinkHandshake({
      ...options,
      exportKey: (label, context) => socket.exportKey(label, context),
      send: (message) => this.#wire.sendCk(encodeCk(message)),
      done: () => this.#comeUp(),
    });
    this.#delivery = new LinkDelivery({
      logger: options.logger,
      peerId: () => this.peerId,
      failed: (err) => this.#end(err),
    });
    this.#wire = new BittorrentWire(this.inbound, {
      ready: () => this.#safely(() => this.#handshake.prove()),
      message: (message) => this.#safely(() => this.#onWire(message)),
      ck: (payload) => this.#safely(() => this.#onCk(decodeCk(payload))),
      output: (bytes) => this.#output(bytes),
      failed: (err) => this.#end(err),
    });
    this.#guard = new WireGuard({
      sizes: options.sizes,
      infohash: options.infohash,
      ownPeerId: options.identity.peerId,
      clock,
      isProven: () => this.#handshake.proof !== undefined,
      isChoking: () => this.#wire.isChoking,
      onRefused: (row, length) => this.#wire.send({ type: "reject", row, length }),
    });
    this.#framer = new MessageFramer(this.#guard, (message) => {
      this.#guard.checkBody(message);
      this.#wire.receive(message);
    });
    this.#outbox = new Outbox(this.#wire, socket, clock, {
      leaving: (row, length) => this.#guard.open.settle(row, length),
      drained: () => this.#delivery.drained(),
    });
    this.#watch = new LinkWatch(
      clock,
      options.limits,
      () => this.#progress(),
      (err) => this.#end(err),
      () => this.#wire.keepAlive(),
    );
    socket.listen({ data: (bytes) => this.#input(bytes), closed: (err) => this.#end(err) });
    this.#wire.handshake(options.infohash, options.identity.peerId.subarray(0, 20));
  }

  get peerId(): string {
    return this.#handshake.peerId;
  }

  get key(): Uint8Array {
    return this.#handshake.proof?.key ?? new Uint8Array(0);
  }

  get address(): string {
    return this.#options.socket.address;
  }

  get port(): number {
    return this.#handshake.proof?.port ?? 0;
  }

  get peerClass(): PeerClass {
    return this.#handshake.proof?.peerClass ?? "wired";
  }

  get rttMs(): number {
    return this.#handshake.rttMs;
  }

  get queuedBytes(): number {
    return this.#outbox.queuedBytes;
  }

  start(handler: PeerLinkHandler): void {
    this.#delivery.start(handler);
  }

  send(message: PeerMessage): void {
    if (this.#isEnded) return;
    switch (message.type) {
      case "have":
      case "lost":
      case "bad-rows":
        for (let i = 0; i < message.runs.length; i += MAX_RUNS)
          this.#wire.sendCk(encodeCk({ type: message.type, runs: message.runs.slice(i, i + MAX_RUNS) }));
        return;
      case "claim":
      case "promise":
      case "peers":
      case "neighbours":
      case "newer":
        this.#wire.sendCk(encodeCk(message));
        return;
      case "piece":
        if (this.#guard.open.has(message.row, message.bytes.byteLength))
          this.#outbox.queue(message.row, message.bytes);
        return;
      case "reject":
        this.#reject(message.row, message.length);
        return;
      case "choke":
        this.#outbox.clear();
        this.#guard.open.clear();
        this.#wire.send(message);
        return;
      case "request":
        this.#request(message.row, message.length);
        return;
      case "cancel":
        if (this.#guard.asked.has(message.row, message.length)) this.#wire.send(message);
        return;
      case "unchoke":
      case "interested":
      case "not-interested":
      case "bitfield":
      case "have-all":
      case "have-none":
        this.#wire.send(message);
    }
  }

  pause(): void {
    this.#isPaused = true;
    this.#options.socket.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#receivedAt = this.#options.clock.now();
    if (this.#messageSince !== undefined) this.#messageSince = this.#receivedAt;
    this.#options.socket.resume();
  }

  /** What was sent before still goes out, pieces aside. */
  close(reason?: string): void {
    if (this.#isEnded) return;
    this.#options.logger.debug({ peer: this.peerId, reason: reason ?? "done" }, "peer link closed");
    this.#finish(undefined);
    this.#linger();
  }

  #request(row: number, length: number): void {
    if (this.#options.sizes.rowsLength(row, length) === undefined)
      throw new Error(`unreachable: request of ${length} bytes from row ${row} ends within a row`);
    if (this.#wire.send({ type: "request", row, length })) {
      this.#guard.asked.add(row, length, this.#options.clock.now());
    } else {
      // The peer's choke crossed it.
      queueMicrotask(() => this.#safely(() => this.#delivery.deliver({ type: "reject", row, length })));
    }
  }

  #reject(row: number, length: number): void {
    this.#outbox.cancel(row, length);
    if (this.#guard.open.settle(row, length)) this.#wire.send({ type: "reject", row, length });
  }

  #output(bytes: Uint8Array): void {
    this.#outbox.write(bytes);
    if (this.#outbox.unsentBytes > MAX_UNSENT_BYTES)
      this.#end(new AppError("ERR_TIMEOUT", "the peer does not read"));
  }

  #input(bytes: Uint8Array): void {
    const now = this.#options.clock.now();
    this.#receivedAt = now;
    const { begun } = this.#framer;
    this.#safely(() => this.#framer.push(bytes));
    if (!this.#framer.isMidMessage) this.#messageSince = undefined;
    else if (this.#framer.begun !== begun) this.#messageSince = now;
  }

  #onWire(message: PeerMessage): void {
    if (message.type === "cancel") this.#reject(message.row, message.length);
    this.#delivery.deliver(message);
  }

  #onCk(message: CkMessage | LinkMessage): void {
    if (message.type === "identity") {
      this.#handshake.onIdentity(message, this.#guard.peerIdPrefix ?? new Uint8Array(0));
      return;
    }
    if (this.#handshake.proof === undefined) throw invalid(`${message.type} before its identity`);
    switch (message.type) {
      case "probe":
        this.#handshake.onProbe(message);
        return;
      case "have":
      case "lost":
      case "bad-rows":
        this.#checkRows(message.runs.at(-1));
        break;
      case "claim":
        this.#checkRows(message.claim.rows);
        if (!this.#options.claims.isValid(message.claim)) throw invalid("a claim with a wrong signature");
        break;
      case "promise":
        this.#checkRows(message.promise.runs.at(-1));
        if (!this.#options.claims.isValidPromise(message.promise))
          throw invalid("a promise with a wrong signature");
        break;
      case "peers":
      case "neighbours":
      case "newer":
    }
    this.#delivery.deliver(message);
  }

  /** Runs ascend, so the last one tells. */
  #checkRows(last: { readonly first: number; readonly count: number } | undefined): void {
    if (last !== undefined && last.first + last.count > this.#options.sizes.rows)
      throw invalid("rows past the last");
  }

  #comeUp(): void {
    this.#isUp = true;
    this.#options.up(this);
  }

  #safely(run: () => void): void {
    if (this.#isEnded) return;
    try {
      run();
    } catch (err) {
      this.#end(err instanceof Error ? err : new Error(String(err)));
    }
  }

  #progress(): LinkProgress {
    const ifReading = <T>(value: T): T | undefined => (this.#isPaused ? undefined : value);
    return {
      handshakeSince: this.#isUp ? undefined : this.#options.since,
      stuckSince: this.#outbox.stuckSince,
      receivedAt: ifReading(this.#receivedAt),
      messageSince: ifReading(this.#messageSince),
      askedSince: ifReading(this.#guard.asked.oldest),
      sentAt: this.#outbox.sentAt,
    };
  }

  /** Ends it at once: an error, or the other side hung up. */
  #end(err: Error | undefined): void {
    if (this.#isEnded) {
      this.#lastWords?.();
      return;
    }
    const { logger, socket } = this.#options;
    if (err !== undefined)
      logger.debug({ err, peer: this.peerId, address: this.address }, "peer link failed");
    this.#finish(err);
    // A peer that is merely the wrong one shall learn why: it reads our handshake and proof.
    if (isAppError(err, "ERR_PEER_REFUSED")) return this.#linger();
    this.#wire.close();
    socket.destroy();
  }

  /** Lets what was sent before go out, then hangs up. */
  #linger(): void {
    const { socket, clock } = this.#options;
    const cancel = clock.after(LINGER_MS, () => socket.destroy());
    this.#lastWords = () => {
      cancel();
      socket.destroy();
    };
    // The wire hands out its bytes in microtasks: they are in the socket by then.
    setImmediate(() => {
      this.#wire.close();
      socket.end();
    });
  }

  #finish(err: Error | undefined): void {
    this.#isEnded = true;
    this.#watch.stop();
    this.#framer.stop();
    this.#outbox.clear();
    this.#delivery.end(err);
    if (!this.#isUp) this.#options.failed(err instanceof AppError ? err : hungUp(err));
    this.#options.ended();
  }
}

function invalid(what: string): AppError {
  return new AppError("ERR_WIRE_MESSAGE_INVALID", `peer sent ${what}`);
}

function hungUp(cause: Error | undefined): AppError {
  return new AppError("ERR_PEER_REFUSED", "the peer hung up during the handshake", {
    cause,
    details: { reason: "refused" },
  });
}
