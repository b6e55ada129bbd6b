import { AppError, type Clock, equalBytes, type Logger, type Random, toHex } from "@ckmesh/core";
import {
  type CkMessage,
  CLAIM_RULES,
  decodeCk,
  encodeCk,
  IDENTITY_EXPORTER_LABEL,
  identitySigningBytes,
  type LinkMessage,
  type LinkRole,
  MAX_RUNS,
  type PeerClass,
  type PeerMessage,
  peerIdOf,
} from "@ckmesh/wire";
import { BittorrentWire } from "./bittorrent-wire.js";
import type { ClaimVerifier } from "./claim-verifier.js";
import { type Identity, verifySignature } from "./identity.js";
import { type LinkLimits, MAX_BACKLOG, MAX_UNSENT_BYTES } from "./link-limits.js";
import { MessageFramer } from "./message-framer.js";
import { Outbox } from "./outbox.js";
import type { PeerLink, PeerLinkHandler } from "./peer-link.js";
import type { PeerWire } from "./peer-wire.js";
import { TokenBucket } from "./token-bucket.js";
import { type RowSizes, WireGuard } from "./wire-guard.js";

export interface PeerSocketEvents {
  readonly data: (bytes: Uint8Array) => void;
  /** Once, last. */
  readonly closed: (err?: Error) => void;
}

/** An authenticated, encrypted byte stream to a peer: a TLS socket, or a stand-in of a test. */
export interface PeerSocket {
  readonly address: string;
  readonly waitingBytes: number;
  write(bytes: Uint8Array, flushed: () => void): void;
  /** TLS exporter (RFC 8446 §7.5), 32 bytes. */
  exportKey(label: string, context: string): Uint8Array;
  pause(): void;
  resume(): void;
  destroy(): void;
  listen(events: PeerSocketEvents): void;
}

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

const PROBES = 3;
const CHECK_MS = 1000;
/** Names that a peer may put into `requires`: features of later versions. */
const KNOWN_FEATURES: ReadonlySet<string> = new Set();

/**
 * One connection from the TLS handshake on. States: greeting (BEP 3 and BEP 10 handshakes) → proving
 * (identity messages) → measuring (three probes) → up → ended. The peer's messages move it forward, the
 * check timer ends it when a deadline passes, any violation ends it at once.
 */
export class PeerConnection implements PeerLink {
  readonly inbound: boolean;
  readonly #options: PeerConnectionOptions;
  readonly #wire: PeerWire;
  readonly #guard: WireGuard;
  readonly #framer: MessageFramer;
  readonly #outbox: Outbox;
  readonly #probeReplies: TokenBucket;
  #proof: Extract<LinkMessage, { type: "identity" }> | undefined;
  #peerId = "";
  #probe: { readonly nonce: number; readonly at: number } | undefined;
  #rtts: number[] = [];
  #isUp = false;
  #isEnded = false;
  #isPaused = false;
  #handler: PeerLinkHandler | undefined;
  #backlog: PeerMessage[] = [];
  #ending: { readonly err: Error | undefined } | undefined;
  #receivedAt: number;
  /** When the message that is still arriving began. */
  #messageSince: number | undefined;
  #cancelCheck: () => void;

  constructor(options: PeerConnectionOptions) {
    this.#options = options;
    const { clock, socket } = options;
    const now = clock.now();
    this.inbound = options.role === "listener";
    this.#receivedAt = now;
    this.#probeReplies = new TokenBucket(20, 50, now);
    this.#wire = new BittorrentWire(this.inbound, {
      ready: () => this.#safely(() => this.#prove()),
      message: (message) => this.#safely(() => this.#fromWire(message)),
      ck: (payload) => this.#safely(() => this.#onCk(decodeCk(payload))),
      output: (bytes) => this.#output(bytes),
      failed: (err) => this.#end(err),
    });
    this.#guard = new WireGuard({
      sizes: options.sizes,
      infohash: options.infohash,
      clock,
      isChoking: () => this.#wire.isChoking,
      onRefused: (row, length) => this.#wire.send({ type: "reject", row, length }),
    });
    this.#framer = new MessageFramer(this.#guard, (message) => {
      this.#guard.checkBody(message);
      this.#wire.receive(message);
    });
    this.#outbox = new Outbox(this.#wire, socket, clock, {
      leaving: (row, length) => this.#guard.open.settle(row, length),
      drained: () => this.#tell((handler) => handler.drained()),
    });
    this.#cancelCheck = clock.after(CHECK_MS, () => this.#check());
    socket.listen({ data: (bytes) => this.#input(bytes), closed: (err) => this.#end(err) });
    this.#wire.handshake(options.infohash, options.identity.peerId.subarray(0, 20));
  }

  get peerId(): string {
    return this.#peerId;
  }

  get key(): Uint8Array {
    return this.#proof?.key ?? new Uint8Array(0);
  }

  get address(): string {
    return this.#options.socket.address;
  }

  get port(): number {
    return this.#proof?.port ?? 0;
  }

  get peerClass(): PeerClass {
    return this.#proof?.peerClass ?? "wired";
  }

  get rttMs(): number {
    return Math.min(...this.#rtts);
  }

  get queuedBytes(): number {
    return this.#outbox.queuedBytes;
  }

  start(handler: PeerLinkHandler): void {
    if (this.#handler !== undefined) throw new Error("unreachable: link started twice");
    this.#handler = handler;
    queueMicrotask(() => {
      const backlog = this.#backlog;
      this.#backlog = [];
      for (const message of backlog) this.#tell((h) => h.message(message));
      this.#tellEnd();
    });
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
      case "peers":
        this.#wire.sendCk(encodeCk(message));
        return;
      case "piece":
        if (this.#guard.open.has(message.row, message.bytes.byteLength))
          this.#outbox.queue(message.row, message.bytes);
        return;
      case "reject":
        this.#refuse(message.row, message.length);
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

  close(reason?: string): void {
    if (!this.#isEnded)
      this.#options.logger.debug({ peer: this.#peerId, reason: reason ?? "done" }, "peer link closed");
    this.#end(undefined);
  }

  #request(row: number, length: number): void {
    if (this.#options.sizes.rowsLength(row, length) === undefined)
      throw new Error(`unreachable: request of ${length} bytes from row ${row} ends within a row`);
    if (this.#wire.send({ type: "request", row, length })) {
      this.#guard.asked.add(row, length, this.#options.clock.now());
    } else {
      // The choke is on its way to the machine, or there already.
      queueMicrotask(() => this.#deliver({ type: "reject", row, length }));
    }
  }

  #refuse(row: number, length: number): void {
    this.#outbox.cancel(row, length);
    if (this.#guard.open.settle(row, length)) this.#wire.send({ type: "reject", row, length });
  }

  #output(bytes: Uint8Array): void {
    if (this.#isEnded) return;
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

  /** Both sides greeted: say who we are. */
  #prove(): void {
    const { identity, role, versionId, peerClass, listenPort } = this.#options;
    this.#wire.sendCk(
      encodeCk({
        type: "identity",
        key: identity.publicKey,
        signature: identity.sign(this.#signedBy(role)),
        versionId,
        requires: [],
        claimRules: CLAIM_RULES,
        peerClass,
        port: listenPort,
      }),
    );
  }

  #signedBy(role: LinkRole): Uint8Array {
    const exported = this.#options.socket.exportKey(IDENTITY_EXPORTER_LABEL, role);
    return identitySigningBytes(role, exported, this.#options.versionId);
  }

  #onCk(message: CkMessage | LinkMessage): void {
    if (message.type === "identity") return this.#onIdentity(message);
    if (this.#proof === undefined) throw invalid(`${message.type} before its identity`);
    switch (message.type) {
      case "probe":
        return this.#onProbe(message);
      case "have":
      case "lost":
      case "bad-rows":
        this.#checkRows(message.runs.at(-1));
        break;
      case "claim":
        this.#checkRows(message.claim.rows);
        if (!this.#options.claims.isValid(message.claim)) throw invalid("a claim with a wrong signature");
        break;
      case "peers":
    }
    this.#deliver(message);
  }

  #onIdentity(proof: Extract<LinkMessage, { type: "identity" }>): void {
    const { identity, role, versionId } = this.#options;
    if (this.#proof !== undefined) throw invalid("a second identity");
    const peerId = peerIdOf(proof.key);
    if (!equalBytes(proof.versionId, versionId)) throw refused("has another version of the image");
    const unknown = proof.requires.find((name) => !KNOWN_FEATURES.has(name));
    if (unknown !== undefined || proof.claimRules !== CLAIM_RULES)
      throw refused("needs another release of ckmesh");
    if (!equalBytes(peerId.subarray(0, 20), this.#guard.peerIdPrefix ?? new Uint8Array(0)))
      throw refused("changed its id between its handshake and its proof");
    if (!verifySignature(proof.key, this.#signedBy(otherRole(role)), proof.signature))
      throw refused("cannot prove its identity on this connection");
    if (equalBytes(peerId, identity.peerId))
      throw new AppError("ERR_PEER_REFUSED", "that address is this client itself", {
        details: { reason: "refused", isSelf: true },
      });
    this.#proof = proof;
    this.#peerId = toHex(peerId);
    this.#sendProbe();
  }

  #sendProbe(): void {
    const nonce = Math.floor(this.#options.random.next() * 2 ** 32);
    this.#probe = { nonce, at: this.#options.clock.now() };
    this.#wire.sendCk(encodeCk({ type: "probe", nonce, reply: false }));
  }

  #onProbe(probe: Extract<LinkMessage, { type: "probe" }>): void {
    const now = this.#options.clock.now();
    if (!probe.reply) {
      if (this.#probeReplies.take(now)) this.#wire.sendCk(encodeCk({ ...probe, reply: true }));
      return;
    }
    if (this.#probe?.nonce !== probe.nonce) return;
    this.#rtts.push(now - this.#probe.at);
    this.#probe = undefined;
    if (this.#rtts.length < PROBES) return this.#sendProbe();
    this.#isUp = true;
    this.#options.up(this);
  }

  #checkRows(last: { readonly first: number; readonly count: number } | undefined): void {
    if (last !== undefined && last.first + last.count > this.#options.sizes.rows)
      throw invalid("rows past the last");
  }

  #fromWire(message: PeerMessage): void {
    if (this.#proof === undefined) throw invalid(`${message.type} before its identity`);
    if (message.type === "cancel") {
      this.#refuse(message.row, message.length);
    }
    this.#deliver(message);
  }

  #deliver(message: PeerMessage): void {
    if (this.#isEnded) return;
    if (this.#handler !== undefined && this.#backlog.length === 0)
      return this.#tell((handler) => handler.message(message));
    if (this.#backlog.length === MAX_BACKLOG) throw invalid("too much before the link was up");
    this.#backlog.push(message);
  }

  /** A handler that throws is our bug: the link goes, the process stays. */
  #tell(run: (handler: PeerLinkHandler) => void): void {
    if (this.#handler === undefined || this.#isEnded) return;
    try {
      run(this.#handler);
    } catch (err) {
      this.#options.logger.error({ err, peer: this.#peerId }, "peer link handler failed");
      this.#end(new AppError("ERR_INTERNAL", "the handler of a peer link failed", { cause: err }));
    }
  }

  #safely(run: () => void): void {
    if (this.#isEnded) return;
    try {
      run();
    } catch (err) {
      this.#end(err instanceof Error ? err : new Error(String(err)));
    }
  }

  #check(): void {
    const { clock, limits, since } = this.#options;
    this.#cancelCheck = clock.after(CHECK_MS, () => this.#check());
    const now = clock.now();
    const late = (at: number | undefined, limit: number): boolean => at !== undefined && now - at >= limit;
    if (!this.#isUp && late(since, limits.handshakeMs)) return this.#timeOut("did not finish its handshake");
    if (late(this.#outbox.stuckSince, limits.drainMs)) return this.#timeOut("does not read");
    if (!this.#isPaused) {
      if (late(this.#receivedAt, limits.idleMs)) return this.#timeOut("fell silent");
      if (late(this.#messageSince, limits.messageMs)) return this.#timeOut("did not finish a message");
      const asked = this.#guard.asked.oldest;
      if (late(asked, limits.requestMs)) return this.#timeOut("did not answer a request");
    }
    if (late(this.#outbox.sentAt, limits.keepAliveMs)) this.#wire.keepAlive();
  }

  #timeOut(what: string): void {
    this.#end(new AppError("ERR_TIMEOUT", `the peer ${what} in time`));
  }

  #end(err: Error | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const { logger, socket } = this.#options;
    if (err !== undefined)
      logger.debug({ err, peer: this.#peerId, address: this.address }, "peer link failed");
    this.#cancelCheck();
    this.#framer.stop();
    this.#outbox.clear();
    this.#wire.close();
    socket.destroy();
    this.#backlog = [];
    this.#ending = { err };
    if (!this.#isUp) {
      this.#options.failed(
        err instanceof AppError ? err : refused("closed the connection during the handshake", err),
      );
    } else if (this.#handler !== undefined) {
      queueMicrotask(() => this.#tellEnd());
    }
    this.#options.ended();
  }

  #tellEnd(): void {
    const ending = this.#ending;
    if (ending === undefined || this.#handler === undefined) return;
    this.#ending = undefined;
    try {
      this.#handler.closed(ending.err);
    } catch (err) {
      this.#options.logger.error({ err, peer: this.#peerId }, "peer link handler failed");
    }
  }
}

function otherRole(role: LinkRole): LinkRole {
  return role === "dialer" ? "listener" : "dialer";
}

function invalid(what: string): AppError {
  return new AppError("ERR_WIRE_MESSAGE_INVALID", `peer sent ${what}`);
}

function refused(what: string, cause?: unknown): AppError {
  return new AppError("ERR_PEER_REFUSED", `the peer ${what}`, { cause, details: { reason: "refused" } });
}
