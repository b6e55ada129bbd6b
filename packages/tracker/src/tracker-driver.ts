import { randomBytes } from "node:crypto";
import { AppError, type Clock, describeError, type Logger, type Metrics } from "@ckmesh/core";
import { decodeToTracker, encodeFromTracker } from "@ckmesh/wire";
import type { SnapshotStore } from "./snapshot-store.js";
import { SocketHub } from "./socket-hub.js";
import type { TrackerEffect, TrackerEvent } from "./tracker-events.js";
import { type TrackerGauges, trackerGauges } from "./tracker-gauges.js";
import type { TrackerMachine } from "./tracker-machine.js";

/** Peers are asked for a sign of life this often, and are gone without one by the next time. */
const PING_MS = 30_000;
const SNAPSHOT_MS = 30_000;
const GAUGES_MS = 5_000;
/** One line a second about refusals of a kind, however many there are. */
const REFUSAL_LOG_MS = 1_000;
const NONCE_BYTES = 16;

export interface TrackerStatus {
  readonly connections: number;
  readonly peers: number;
  readonly swarms: number;
}

interface DriverOptions {
  readonly machine: TrackerMachine;
  readonly store: SnapshotStore | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
}

/** Carries events to the machine and its effects to sockets; owns the timers; decides nothing. */
export class TrackerDriver {
  readonly hub: SocketHub;
  readonly #machine: TrackerMachine;
  readonly #store: SnapshotStore | undefined;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #gauges: TrackerGauges;
  readonly #timers = new Map<string, () => void>();
  readonly #refusalLogged = new Map<string, number>();
  #armedFor = Number.POSITIVE_INFINITY;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: DriverOptions) {
    const { machine, clock, logger } = options;
    this.#machine = machine;
    this.#store = options.store;
    this.#logger = logger;
    this.#clock = clock;
    this.#gauges = trackerGauges(options.metrics);
    this.hub = new SocketHub({
      maxConnections: options.maxConnections,
      maxConnectionsPerAddress: options.maxConnectionsPerAddress,
      logger,
      onOpened: (connection, observed) =>
        this.step({
          type: "opened",
          connection,
          observed,
          nonce: randomBytes(NONCE_BYTES),
          now: clock.now(),
        }),
      onMessage: (connection, bytes) => this.#onMessage(connection, bytes),
      onClosed: (connection) => this.step({ type: "closed", connection }),
      onDropped: (reason) => this.#gauges.dropped(reason),
    });
  }

  async start(): Promise<void> {
    if (this.#store !== undefined) {
      const swarms = await this.#store.load(this.#clock.wall());
      this.#machine.remember(swarms, this.#clock.now());
      if (swarms.length > 0) this.#logger.info({ swarms: swarms.length }, "tracker starts warm");
    }
    this.#every("snapshot", SNAPSHOT_MS, () => this.#save());
    this.#every("ping", PING_MS, () => this.hub.checkLife());
    this.#every("gauges", GAUGES_MS, () => this.refreshGauges());
    this.#arm();
  }

  step(event: TrackerEvent): void {
    for (const effect of this.#machine.step(event)) this.#run(effect);
    this.#arm();
  }

  status(): TrackerStatus {
    return { connections: this.hub.size, peers: this.#machine.peerCount, swarms: this.#machine.swarmCount };
  }

  refreshGauges(): void {
    this.#gauges.refresh(this.#machine, this.hub.size);
  }

  async close(): Promise<void> {
    // What the swarms look like now, not after everybody was sent away.
    this.#save();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#armedFor = Number.NEGATIVE_INFINITY;
    await this.hub.end();
    await this.#saving;
    await this.#store?.close();
  }

  #onMessage(connection: number, bytes: Uint8Array | undefined): void {
    try {
      if (bytes === undefined) throw new AppError("ERR_WIRE_MESSAGE_INVALID", "messages are binary");
      const message = decodeToTracker(bytes);
      this.#gauges.received(message.type);
      this.step({ type: "message", connection, message, now: this.#clock.now(), wall: this.#clock.wall() });
    } catch (err) {
      if (!(err instanceof AppError) || err.code !== "ERR_WIRE_MESSAGE_INVALID") throw err;
      this.step({ type: "garbage", connection, reason: err.message });
    }
  }

  #run(effect: TrackerEffect): void {
    switch (effect.type) {
      case "send":
        this.hub.send(effect.connection, encodeFromTracker(effect.message));
        return;
      case "broadcast": {
        const bytes = encodeFromTracker(effect.message);
        for (const connection of effect.connections) this.hub.send(connection, bytes);
        return;
      }
      case "close":
        this.#gauges.refused(effect.code);
        this.#logRefusal(effect.connection, effect.code);
        this.hub.close(effect.connection, effect.code);
        return;
    }
  }

  #logRefusal(connection: number, code: string): void {
    const now = this.#clock.now();
    if (now - (this.#refusalLogged.get(code) ?? Number.NEGATIVE_INFINITY) < REFUSAL_LOG_MS) return;
    this.#refusalLogged.set(code, now);
    this.#logger.warn({ code, address: this.hub.addressOf(connection) }, "connection refused");
  }

  /** Sets the timer for the machine's next tick, unless one that is early enough is set. */
  #arm(): void {
    const due = this.#machine.deadline();
    if (due >= this.#armedFor) return;
    this.#armedFor = due;
    this.#timers.get("tick")?.();
    const cancel = this.#clock.after(Math.max(1, due - this.#clock.now()), () => {
      this.#armedFor = Number.POSITIVE_INFINITY;
      this.step({ type: "tick", now: this.#clock.now(), wall: this.#clock.wall() });
    });
    this.#timers.set("tick", cancel);
  }

  #every(name: string, ms: number, run: () => void): void {
    const again = (): void => {
      this.#timers.set(
        name,
        this.#clock.after(ms, () => {
          again();
          run();
        }),
      );
    };
    again();
  }

  /** One save after the other; a failed one is logged, for the snapshot is only a hint. */
  #save(): void {
    const store = this.#store;
    // Without a store, too: what nobody takes would grow with every swarm that was ever announced.
    const changed = this.#machine.takeChanged();
    if (store === undefined || changed.length === 0) return;
    const wall = this.#clock.wall();
    this.#saving = this.#saving
      .then(() => store.save(changed, wall))
      .catch((err: unknown) =>
        this.#logger.warn({ reason: describeError(err) }, "tracker snapshot not written"),
      );
  }
}
