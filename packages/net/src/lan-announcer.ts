import { networkInterfaces } from "node:os";
import { type Clock, equalBytes, type Logger, type Random, randomInt, toHex } from "@ckmesh/core";
import {
  DEFAULT_PEER_PORT,
  decodeLanAnnouncement,
  decodeWanNotice,
  encodeLanAnnouncement,
  encodeWanNotice,
  isWanNotice,
  LAN_GROUP,
  LAN_ID_BYTES,
  type LanAnnouncement,
  MAX_SWARMS_PER_DATAGRAM,
  type PeerAddress,
  type WanNotice,
} from "@ckmesh/wire";
import { type LanPort, LanSockets, type LanSocketsOptions } from "./lan-sockets.js";
import { TokenBucket } from "./token-bucket.js";

export interface LanAnnouncerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** TCP port of this client's peer listener; 0: only listen to others. */
  readonly port: number;
  /** Default 7650; the same for everybody who shall hear each other. */
  readonly udpPort?: number;
  /** Default 239.192.152.143. */
  readonly group?: string;
  /** IPv4 addresses of the interfaces to use; asked again every 10 s. Default: all but loopback. */
  readonly interfaces?: () => readonly string[];
  /** Somebody in the LAN has this swarm. A hint: anybody may have sent it. */
  readonly found: (publicId: Uint8Array, peer: PeerAddress) => void;
  /** Somebody in the LAN, at address `from`, fetches over its WAN. A hint likewise. */
  readonly heardWan?: (notice: WanNotice, from: string) => void;
  /** The network; default real sockets. */
  readonly createPort?: (options: LanSocketsOptions) => LanPort;
}

interface Announced {
  readonly id: Uint8Array;
  /** When it is announced next, monotonic ms. */
  due: number;
}

const LOOK_AROUND_MS = 10_000;
/** At most one announcement per swarm in this time, its first two aside; a random part comes on top. */
const PERIOD_MS = 60_000;
const PERIOD_SPREAD_MS = 15_000;
const TICK_MS = 5000;
/** The second announcement of something new. */
const REPEAT_MS = 1000;
const COOKIE_BYTES = 8;
/** Datagrams looked at, and answers sent: a flood costs no more. */
const HEARD = { ratePerSec: 200, burst: 400 };
const ANSWERS = { ratePerSec: 20, burst: 40 };

/**
 * Finds peers on the own LAN by multicast, in the manner of BEP 14 but per interface, with several swarms per
 * datagram and a direct answer, so that both sides learn at once. It shows only the beginning of each swarm's
 * public id. IPv4 only. Many networks filter multicast: the tracker stays the main source.
 */
export class LanAnnouncer {
  readonly #options: LanAnnouncerOptions;
  readonly #port: LanPort;
  readonly #cookie: Uint8Array;
  readonly #heard: TokenBucket;
  readonly #answers: TokenBucket;
  /** By the hex of what is shown of the id. */
  #swarms = new Map<string, Announced>();
  #addresses = "";
  #timers = new Set<() => void>();
  #opening: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: LanAnnouncerOptions) {
    this.#options = options;
    const { clock, random, logger } = options;
    this.#cookie = Uint8Array.from({ length: COOKIE_BYTES }, () => randomInt(random, 256));
    this.#heard = new TokenBucket(HEARD.ratePerSec, HEARD.burst, clock.now());
    this.#answers = new TokenBucket(ANSWERS.ratePerSec, ANSWERS.burst, clock.now());
    const create = options.createPort ?? ((given: LanSocketsOptions) => new LanSockets(given));
    this.#port = create({
      group: options.group ?? LAN_GROUP,
      udpPort: options.udpPort ?? DEFAULT_PEER_PORT,
      logger,
      received: (bytes, from, answer) => this.#onDatagram(bytes, from, answer),
    });
    this.#lookAround();
    this.#announcePeriodically();
  }

  /** What to announce and listen for, instead of what was given before. New swarms are announced at once. */
  setSwarms(publicIds: readonly Uint8Array[]): void {
    const before = this.#swarms;
    this.#swarms = new Map();
    const fresh: Announced[] = [];
    for (const id of publicIds) {
      const name = toHex(id.subarray(0, LAN_ID_BYTES));
      const entry = before.get(name) ?? { id, due: Number.POSITIVE_INFINITY };
      this.#swarms.set(name, entry);
      if (!before.has(name)) fresh.push(entry);
    }
    if (fresh.length > 0) void this.#opening.then(() => this.#announceTwice(fresh));
  }

  /** Tells the LAN once. */
  sayWan(notice: WanNotice): void {
    if (!this.#isClosed) this.#port.send(encodeWanNotice(notice));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    await this.#opening;
    await this.#port.close();
  }

  /** Opens the sockets anew whenever the set of interfaces changed. */
  #lookAround(): void {
    if (this.#isClosed) return;
    this.#after(LOOK_AROUND_MS, () => this.#lookAround());
    const addresses = this.#interfaces();
    const joined = addresses.toSorted().join(" ");
    if (joined === this.#addresses) return;
    this.#addresses = joined;
    this.#opening = this.#reopen(this.#opening, addresses);
    void this.#opening.then(() => this.#announceTwice([...this.#swarms.values()]));
  }

  async #reopen(before: Promise<void>, addresses: readonly string[]): Promise<void> {
    await before;
    try {
      if (!this.#isClosed && !(await this.#port.open(addresses))) this.#addresses = "";
    } catch (err) {
      this.#options.logger.warn({ err }, "lan announcer cannot open its sockets");
    }
  }

  #interfaces(): readonly string[] {
    try {
      return (this.#options.interfaces ?? lanAddresses)();
    } catch (err) {
      this.#options.logger.debug({ err }, "network interfaces cannot be listed");
      return [];
    }
  }

  #announcePeriodically(): void {
    this.#after(TICK_MS, () => {
      const now = this.#options.clock.now();
      this.#announce([...this.#swarms.values()].filter((entry) => entry.due <= now));
      this.#announcePeriodically();
    });
  }

  #announceTwice(entries: readonly Announced[]): void {
    if (this.#isClosed) return;
    this.#announce(entries);
    this.#after(REPEAT_MS, () => this.#announce(entries));
  }

  #announce(entries: readonly Announced[]): void {
    if (this.#options.port === 0) return;
    const { clock, random } = this.#options;
    const live = new Set(this.#swarms.values());
    const ids: Uint8Array[] = [];
    for (const entry of entries) {
      if (!live.has(entry)) continue;
      entry.due = clock.now() + PERIOD_MS + random.next() * PERIOD_SPREAD_MS;
      ids.push(entry.id);
    }
    for (let i = 0; i < ids.length; i += MAX_SWARMS_PER_DATAGRAM)
      this.#port.send(this.#encode(ids.slice(i, i + MAX_SWARMS_PER_DATAGRAM), false));
  }

  #encode(swarms: readonly Uint8Array[], isAnswer: boolean): Uint8Array {
    return encodeLanAnnouncement({ port: this.#options.port, cookie: this.#cookie, isAnswer, swarms });
  }

  #onDatagram(bytes: Uint8Array, from: string, answer: (bytes: Uint8Array) => void): void {
    const now = this.#options.clock.now();
    if (this.#isClosed || !this.#heard.take(now)) return;
    let heard: LanAnnouncement;
    try {
      if (isWanNotice(bytes)) {
        const notice = decodeWanNotice(bytes);
        this.#tell(() => this.#options.heardWan?.(notice, from));
        return;
      }
      heard = decodeLanAnnouncement(bytes);
    } catch {
      return; // anybody may send anything to this port
    }
    if (equalBytes(heard.cookie, this.#cookie)) return;
    const common = heard.swarms
      .map((id) => this.#swarms.get(toHex(id))?.id)
      .filter((id): id is Uint8Array => id !== undefined);
    if (common.length === 0) return;
    for (const id of common) this.#tell(() => this.#options.found(id, { address: from, port: heard.port }));
    if (!heard.isAnswer && this.#options.port !== 0 && this.#answers.take(now))
      answer(this.#encode(common, true));
  }

  /** A listener that throws is our bug: a datagram must not end the process. */
  #tell(call: () => void): void {
    try {
      call();
    } catch (err) {
      this.#options.logger.error({ err }, "lan announcement handler failed");
    }
  }

  #after(ms: number, run: () => void): void {
    const cancel = this.#options.clock.after(ms, () => {
      this.#timers.delete(cancel);
      run();
    });
    this.#timers.add(cancel);
  }
}

/** IPv4 addresses of this machine's interfaces, loopback and link-local ones aside. */
function lanAddresses(): readonly string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((a) => a.family === "IPv4" && !a.internal && !a.address.startsWith("169.254."))
    .map((a) => a.address);
}
