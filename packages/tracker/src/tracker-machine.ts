import { type ErrorCode, type Random, toHex } from "@ckmesh/core";
import { type FromTracker, formatNetwork, type IpAddress, type ToTracker } from "@ckmesh/wire";
import { admit } from "./admission.js";
import { ReportBoard, type StoredReport } from "./report-board.js";
import { type RememberedSwarm, SwarmTable } from "./swarm-table.js";
import type { TrackerEffect, TrackerEvent } from "./tracker-events.js";
import { placePeer, type TrackerPeer } from "./tracker-peer.js";
import * as limits from "./tracker-rules.js";

interface Pending {
  readonly observed: IpAddress;
  readonly nonce: Uint8Array;
  readonly openedAt: number;
}

/**
 * The decisions of a tracker, without I/O. A connection is *pending* (challenged; leaves by a hello that is
 * let in, or is refused, or after 10 s) and then a *peer* (announces swarms, reports; leaves when it closes,
 * breaks a rule, is replaced by a newer connection of the same peer, or its ticket runs out).
 */
export class TrackerMachine {
  readonly #rules: limits.TrackerRules;
  readonly #reports: ReportBoard;
  readonly #swarms: SwarmTable;
  /** In order of arrival, so the first is the first to time out. */
  readonly #pending = new Map<number, Pending>();
  readonly #peers = new Map<number, TrackerPeer>();
  readonly #byPeerId = new Map<string, number>();
  readonly #startedAt: number;
  #nextSweep: number;

  constructor(rules: limits.TrackerRules, random: Random, now: number) {
    this.#rules = rules;
    this.#reports = new ReportBoard(rules.limits.maxReports);
    this.#swarms = new SwarmTable(random);
    this.#startedAt = now;
    this.#nextSweep = now + rules.announceMs;
  }

  /** Advances by one event. */
  step(event: TrackerEvent): readonly TrackerEffect[] {
    switch (event.type) {
      case "opened":
        this.#pending.set(event.connection, {
          observed: event.observed,
          nonce: event.nonce,
          openedAt: event.now,
        });
        return [send(event.connection, { type: "challenge", nonce: event.nonce })];
      case "message":
        return this.#onMessage(event.connection, event.message, event.now, event.wall);
      case "garbage":
        return this.#refuse(event.connection, "ERR_WIRE_MESSAGE_INVALID", event.reason);
      case "closed":
        this.#forget(event.connection);
        return [];
      case "publish":
        return this.#broadcast({ type: "published", image: event.image, version: event.version });
      case "tick":
        return this.#tick(event.now, event.wall);
    }
  }

  /** When the next tick is due, monotonic ms. */
  deadline(): number {
    const first = this.#pending.values().next().value;
    const hello = first === undefined ? Number.POSITIVE_INFINITY : first.openedAt + limits.HELLO_TIMEOUT_MS;
    return Math.min(hello, this.#swarms.nextPush, this.#nextSweep);
  }

  get peerCount(): number {
    return this.#peers.size;
  }

  get swarmCount(): number {
    return this.#swarms.size;
  }

  /** Last report of each peer and image. */
  reports(): readonly StoredReport[] {
    return this.#reports.all();
  }

  get reportBoard(): Pick<ReportBoard, "size" | "totals"> {
    return this.#reports;
  }

  /** Swarms whose members announced or left since the last call, as a snapshot keeps them. */
  takeChanged(): readonly RememberedSwarm[] {
    return this.#swarms.takeChanged();
  }

  /** Swarms of the time before the start: their addresses are handed out for a while. */
  remember(swarms: readonly RememberedSwarm[], now: number): void {
    this.#swarms.remember(swarms, now + limits.REMEMBERED_MS);
  }

  #onMessage(connection: number, message: ToTracker, now: number, wall: number): readonly TrackerEffect[] {
    const pending = this.#pending.get(connection);
    if (pending !== undefined) {
      return message.type === "hello"
        ? this.#onHello(connection, pending, message, now, wall)
        : this.#refuse(connection, "ERR_WIRE_MESSAGE_INVALID", "the first message must be hello");
    }
    const peer = this.#peers.get(connection);
    if (peer === undefined) return [];
    if (!peer.messages.take(now, limits.MESSAGE_BURST, limits.MESSAGES_PER_SEC)) {
      return this.#refuse(connection, "ERR_RATE_LIMITED", "too many messages; send fewer");
    }
    switch (message.type) {
      case "hello":
        return this.#refuse(connection, "ERR_WIRE_MESSAGE_INVALID", "hello was said already; connect again");
      case "announce":
        return this.#onAnnounce(connection, peer, message, now);
      case "leave":
        this.#leave(connection, peer, this.#swarmKey(peer, message.swarm));
        return [];
      case "report":
        this.#onReport(peer, message, wall);
        return [];
      case "published":
        if (peer.admission.role !== "origin") {
          return this.#refuse(connection, "ERR_AUTH_FORBIDDEN", "only an origin may say what was published");
        }
        return this.#broadcast(message);
    }
  }

  #onHello(
    connection: number,
    pending: Pending,
    hello: Extract<ToTracker, { type: "hello" }>,
    now: number,
    wall: number,
  ): readonly TrackerEffect[] {
    const admission = admit(this.#rules, pending.nonce, hello, wall);
    if ("code" in admission) return this.#refuse(connection, admission.code, admission.message);
    const peerId = toHex(hello.peerId);
    const observed = pending.observed.toString();
    const before = this.#byPeerId.get(peerId);
    const old = before === undefined ? undefined : this.#peers.get(before);
    const isSame =
      old?.observed === observed || (admission.user !== "" && old?.admission.user === admission.user);
    if (before !== undefined && !isSame) {
      // Nobody may push another one out; a connection that died is found out within a minute.
      return this.#refuse(connection, "ERR_PEER_REFUSED", "this peer is connected from another address");
    }
    const replaced = before === undefined ? [] : this.#refuse(before, "ERR_PEER_REFUSED", "connected again");
    const peer = placePeer(this.#rules, {
      connection,
      peerId,
      observed: pending.observed,
      hello,
      admission,
      now,
    });
    this.#pending.delete(connection);
    this.#peers.set(connection, peer);
    this.#byPeerId.set(peerId, connection);
    const welcome: FromTracker = {
      type: "welcome",
      site: peer.site.name,
      networks: peer.site.networks.map(formatNetwork),
      observed,
      announceMs: this.#rules.announceMs,
    };
    return [...replaced, send(connection, welcome)];
  }

  #onAnnounce(
    connection: number,
    peer: TrackerPeer,
    message: Extract<ToTracker, { type: "announce" }>,
    now: number,
  ): readonly TrackerEffect[] {
    if (peer.admission.role === "origin") {
      return this.#refuse(connection, "ERR_PEER_REFUSED", "an origin is no member of swarms");
    }
    if (!peer.announces.take(now, limits.ANNOUNCE_BURST, limits.ANNOUNCES_PER_SEC)) {
      return this.#refuse(connection, "ERR_RATE_LIMITED", "too many announces; send fewer");
    }
    const key = this.#swarmKey(peer, message.swarm);
    if (!peer.swarms.has(key) && peer.swarms.size >= this.#rules.limits.maxSwarmsPerPeer) {
      return this.#refuse(
        connection,
        "ERR_RATE_LIMITED",
        `at most ${this.#rules.limits.maxSwarmsPerPeer} swarms for each client; leave some`,
      );
    }
    peer.swarms.add(key);
    const list = this.#swarms.announce(key, message.swarm, peer.member, now);
    const complete = list.complete && now - this.#startedAt >= limits.WARM_UP_MS;
    return [send(connection, { type: "peers", swarm: message.swarm, peers: list.peers, complete })];
  }

  #onReport(peer: TrackerPeer, message: Extract<ToTracker, { type: "report" }>, wall: number): void {
    const { type: _, ...report } = message;
    this.#reports.put({
      ...report,
      peerId: peer.member.peerId,
      user: peer.admission.user,
      site: peer.site.name,
      receivedAt: wall,
    });
  }

  #tick(now: number, wall: number): readonly TrackerEffect[] {
    const effects: TrackerEffect[] = [];
    for (const [connection, pending] of this.#pending) {
      if (pending.openedAt + limits.HELLO_TIMEOUT_MS > now) break;
      effects.push(...this.#refuse(connection, "ERR_TIMEOUT", "no hello within 10 s"));
    }
    for (const push of this.#swarms.takePushes(now)) {
      const { swarm, peers } = push;
      effects.push(send(push.connection, { type: "peers", swarm, peers, complete: false }));
    }
    if (now >= this.#nextSweep) effects.push(...this.#sweep(now, wall));
    return effects;
  }

  /** Ends tickets and memberships that ran out. */
  #sweep(now: number, wall: number): readonly TrackerEffect[] {
    this.#nextSweep = now + this.#rules.announceMs;
    const effects: TrackerEffect[] = [];
    for (const [connection, peer] of this.#peers) {
      if (peer.admission.expires > wall) continue;
      effects.push(
        ...this.#refuse(connection, "ERR_TICKET_INVALID", "the ticket ran out; ask for a new one", 0),
      );
    }
    const oldest = now - limits.MISSED_ANNOUNCES * this.#rules.announceMs;
    for (const { key, connection } of this.#swarms.expire(oldest, now)) {
      const peer = this.#peers.get(connection);
      if (peer !== undefined) this.#leave(connection, peer, key);
    }
    return effects;
  }

  #broadcast(message: FromTracker): readonly TrackerEffect[] {
    const connections = [...this.#peers]
      .filter(([, peer]) => peer.admission.role === "client")
      .map(([connection]) => connection);
    return [{ type: "broadcast", connections, message }];
  }

  #refuse(
    connection: number,
    code: ErrorCode,
    message: string,
    retryMs: number = limits.RETRY_MS,
  ): readonly TrackerEffect[] {
    if (!this.#forget(connection)) return [];
    return [
      send(connection, { type: "refused", remoteCode: code, message, retryMs }),
      { type: "close", connection, code },
    ];
  }

  /** True if the connection was known. */
  #forget(connection: number): boolean {
    const peer = this.#peers.get(connection);
    if (peer === undefined) return this.#pending.delete(connection);
    for (const key of peer.swarms) this.#swarms.leave(key, connection);
    this.#peers.delete(connection);
    if (this.#byPeerId.get(peer.member.peerId) === connection) this.#byPeerId.delete(peer.member.peerId);
    return true;
  }

  #leave(connection: number, peer: TrackerPeer, key: string): void {
    if (peer.swarms.delete(key)) this.#swarms.leave(key, connection);
  }

  /** Peers with other claim rules do not share a swarm (site swarm rule 16). */
  #swarmKey(peer: TrackerPeer, swarm: Uint8Array): string {
    return `${toHex(swarm)} ${peer.claimRules} ${peer.site.key}`;
  }
}

function send(connection: number, message: FromTracker): TrackerEffect {
  return { type: "send", connection, message };
}
