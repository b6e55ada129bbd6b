import { type Random, randomInt } from "@ckmesh/core";
import type { VirtualClock } from "@ckmesh/testkit";
import {
  type BitsAnswer,
  BitsFault,
  type BitsPacket,
  type BitsReply,
  encodePacket,
  encodeReply,
  formatSessionId,
  fragmentLength,
  type HeaderFields,
  openSession,
  parsePacket,
  parsePacketHead,
  refusal,
  requireContentLength,
  type SessionEffect,
  type SessionEvent,
  type SessionState,
  SessionTable,
  stepSession,
} from "../src/index.js";

const OWNER = { user: "MEDV\\alice", url: "/MEDVImages/w7.ckm" };

interface Staged {
  state: SessionState;
  bytes: number[];
}

export interface ModelFaults {
  readonly random: Random;
  /** Chance that a fragment's connection breaks on the way. */
  readonly breaks: number;
  /** Chance that an Ack is lost after its packet was processed. */
  readonly losesAck: number;
  /** Chance that the process dies before a packet: acknowledged bytes stay, states do not. */
  readonly dies: number;
  readonly maxFragmentBytes: number;
  /** Whether the server has the bytes of a run of 100 by itself. */
  readonly has: (run: number) => boolean;
}

/** A server made of the pure parts, with arrays for files: what a driver does, in a few lines. */
export class ModelServer {
  readonly #clock: VirtualClock;
  readonly #faults: ModelFaults;
  readonly #file: readonly number[];
  #table: SessionTable;
  readonly #staged = new Map<string, Staged>();
  #ids = 0;
  /** Files that were published, in order. */
  readonly published: (readonly number[])[] = [];
  /** Bytes of bodies that arrived. */
  arrived = 0;

  /** @param file what the intake knows of the file, to fill in from */
  constructor(clock: VirtualClock, file: readonly number[], faults: ModelFaults) {
    this.#clock = clock;
    this.#file = file;
    this.#faults = faults;
    this.#table = this.#emptyTable();
  }

  get stagedSessions(): number {
    return this.#staged.size;
  }

  /** @returns undefined when the connection broke */
  handle(packet: BitsPacket, body: readonly number[]): BitsAnswer | undefined {
    if (this.#happens(this.#faults.dies)) this.#restart();
    const fields = encodePacket(packet);
    const headers = Object.fromEntries(
      Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]),
    );
    const reply = this.#reply(headers, body);
    if (reply === undefined || this.#happens(this.#faults.losesAck)) return undefined;
    return encodeReply(reply, "sessionId" in packet ? packet.sessionId : undefined);
  }

  #reply(headers: HeaderFields, body: readonly number[]): BitsReply | undefined {
    const now = this.#clock.wall();
    try {
      const head = parsePacketHead(headers);
      const length = requireContentLength(head, body.length);
      if (head.type === "ping" || head.type === "create") {
        return parsePacket(head, headers, length).type === "ping" ? { type: "ack" } : this.#create();
      }
      const standing = this.#table.find(head, OWNER, now);
      if (standing.state === "ended") return standing.reply;
      const { sessionId } = standing.session;
      const reply = this.#session(sessionId, parsePacket(head, headers, length), body);
      if (reply !== undefined) this.#table.progressed(sessionId, now);
      return reply;
    } catch (err) {
      if (err instanceof BitsFault) return refusal(err);
      throw err;
    }
  }

  #create(): BitsReply {
    this.#table.admit(OWNER.user);
    this.#ids += 1;
    const sessionId = formatSessionId(new Uint8Array(16).fill(this.#ids));
    this.#staged.set(sessionId, { state: openSession(0, undefined), bytes: [] });
    this.#addToTable(sessionId);
    return { type: "created", sessionId };
  }

  #session(id: string, packet: BitsPacket, body: readonly number[]): BitsReply | undefined {
    const staged = this.#staged.get(id);
    if (staged === undefined) throw new Error("unreachable: a session without file");
    const now = this.#clock.now();
    if (packet.type !== "fragment" && packet.type !== "close" && packet.type !== "cancel") {
      throw new Error("unreachable: a packet of no session");
    }
    let reply: BitsReply | undefined;
    const events: SessionEvent[] =
      packet.type === "fragment"
        ? [{ type: "fragment", fragment: packet.fragment, now }]
        : [{ type: packet.type }];
    for (let event = events.shift(); event !== undefined; event = events.shift()) {
      const limits = { maxUploadBytes: 1e6, maxFragmentBytes: this.#faults.maxFragmentBytes };
      const step = stepSession(staged.state, event, limits);
      staged.state = step.state;
      for (const effect of step.effects) {
        if (effect.type === "reply") reply = effect.reply;
        else events.push(...this.#apply(id, staged, effect, body));
      }
    }
    if (packet.type === "close" && reply?.type === "ack") this.#table.end(id, reply, this.#clock.wall());
    return reply;
  }

  #apply(
    id: string,
    staged: Staged,
    effect: SessionEffect,
    body: readonly number[],
  ): readonly SessionEvent[] {
    const now = this.#clock.now();
    switch (effect.type) {
      case "store": {
        if (effect.offset !== staged.bytes.length) throw new Error("a hole, or bytes written twice");
        if (effect.skip + effect.bytes !== body.length) throw new Error("the body is not what was announced");
        const isBroken = this.#happens(this.#faults.breaks);
        const bytes = isBroken ? randomInt(this.#faults.random, effect.bytes + 1) : effect.bytes;
        this.arrived += effect.skip + bytes;
        staged.bytes.push(...body.slice(effect.skip, effect.skip + bytes));
        return [{ type: "wrote", bytes, now }, { type: isBroken ? "interrupted" : "stored" }];
      }
      case "fill": {
        let received = effect.received;
        while (received < effect.total && this.#faults.has(Math.floor(received / 100))) {
          staged.bytes.push(this.#file[received] ?? 0);
          received += 1;
        }
        if (received === effect.total) return [{ type: "filled", received }];
        let last = received;
        while (last + 1 < effect.total && !this.#faults.has(Math.floor((last + 1) / 100))) last += 1;
        return [{ type: "filled", received, missing: [received, last] }];
      }
      case "publish":
        this.published.push(staged.bytes);
        return [{ type: "published" }];
      case "discard":
        this.#table.remove(id);
        this.#staged.delete(id);
        return [];
      case "forget":
        this.#staged.delete(id);
        return [];
      case "record":
      case "reply":
        return [];
    }
  }

  /** What is on disk stays: files, totals, ids. */
  #restart(): void {
    this.#table = this.#emptyTable();
    for (const [id, staged] of this.#staged) {
      staged.state = openSession(staged.bytes.length, staged.state.total);
      this.#addToTable(id);
    }
  }

  #addToTable(sessionId: string): void {
    const now = this.#clock.wall();
    this.#table.add({ sessionId, ...OWNER, createdAt: now, progressedAt: now });
  }

  #emptyTable(): SessionTable {
    return new SessionTable(() => ({ timeoutMs: 86_400_000, perUser: 50, total: 100 }));
  }

  #happens(chance: number): boolean {
    return this.#faults.random.next() < chance;
  }
}

/** Bytes of a fragment. */
export function bodyOf(packet: BitsPacket, file: readonly number[]): readonly number[] {
  if (packet.type !== "fragment") return [];
  return file.slice(packet.fragment.first, packet.fragment.first + fragmentLength(packet.fragment));
}
