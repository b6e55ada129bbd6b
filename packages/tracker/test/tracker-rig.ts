import { seededRandom } from "@ckmesh/core";
import { VirtualClock } from "@ckmesh/testkit";
import { type FromTracker, parseIp, type ToTracker } from "@ckmesh/wire";
import type { TrackerEffect, TrackerEvent } from "../src/tracker-events.js";
import { TrackerMachine } from "../src/tracker-machine.js";
import { DEFAULT_LIMITS, type TrackerRules } from "../src/tracker-rules.js";

export const FLEET_KEY = new Uint8Array(32).fill(1);
export const JOIN_KEY = new Uint8Array(32).fill(2);
export const NONCE = new Uint8Array(16).fill(3);
export const SWARM = new Uint8Array(32).fill(4);
export const OPEN: TrackerRules = {
  open: true,
  allowLoopback: false,
  sites: [],
  announceMs: 60_000,
  limits: DEFAULT_LIMITS,
};
export const CLOSED: TrackerRules = { ...OPEN, open: false, fleetKey: FLEET_KEY, joinKey: JOIN_KEY };

type Hello = Extract<ToTracker, { type: "hello" }>;

export function peerIdOf(n: number): Uint8Array {
  return new Uint8Array(32).fill(n);
}

export function helloOf(n: number, extra: Partial<Hello> = {}): Hello {
  return {
    type: "hello",
    peerId: peerIdOf(n),
    addresses: [],
    subnets: [],
    port: 7650,
    peerClass: "wired",
    requires: [],
    claimRules: 1,
    ...extra,
  };
}

/** A machine with its sockets and timer replaced by lists and a virtual clock. */
export class Rig {
  readonly clock = new VirtualClock();
  readonly machine: TrackerMachine;
  readonly sent: { to: number; message: FromTracker }[] = [];
  readonly closed: { connection: number; code: string }[] = [];

  constructor(rules: TrackerRules) {
    this.machine = new TrackerMachine(rules, seededRandom(1), this.clock.now());
  }

  step(event: TrackerEvent): void {
    this.#run(this.machine.step(event));
  }

  open(connection: number, address: string): void {
    const observed = parseIp(address);
    if (observed === undefined) throw new Error("unreachable: not an address");
    this.step({ type: "opened", connection, observed, nonce: NONCE, now: this.clock.now() });
  }

  say(connection: number, message: ToTracker): void {
    this.step({ type: "message", connection, message, now: this.clock.now(), wall: this.clock.wall() });
  }

  /** Connects and is let in. */
  join(connection: number, address: string, hello: Hello = helloOf(connection)): void {
    this.open(connection, address);
    this.say(connection, hello);
  }

  announce(connection: number, swarm: Uint8Array = SWARM): void {
    this.say(connection, { type: "announce", swarm, have: 0, rows: 10 });
  }

  /** Runs the machine's own timer for `ms`. */
  pass(ms: number): void {
    const end = this.clock.now() + ms;
    for (let due = this.machine.deadline(); due <= end; due = this.machine.deadline()) {
      this.clock.advance(Math.max(0, due - this.clock.now()));
      this.step({ type: "tick", now: this.clock.now(), wall: this.clock.wall() });
    }
    this.clock.advance(end - this.clock.now());
  }

  /** What `connection` was sent since the last call. */
  take(connection: number): readonly FromTracker[] {
    const mine = this.sent.filter((s) => s.to === connection).map((s) => s.message);
    const others = this.sent.filter((s) => s.to !== connection);
    this.sent.length = 0;
    this.sent.push(...others);
    return mine;
  }

  /** Addresses in the last list of peers that `connection` was sent. */
  peersOf(connection: number): readonly string[] {
    const lists = this.take(connection).flatMap((m) => (m.type === "peers" ? [m] : []));
    return (lists.at(-1)?.peers ?? []).map((p) => p.address).toSorted();
  }

  #run(effects: readonly TrackerEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "send") this.sent.push({ to: effect.connection, message: effect.message });
      else if (effect.type === "close")
        this.closed.push({ connection: effect.connection, code: effect.code });
      else for (const to of effect.connections) this.sent.push({ to, message: effect.message });
    }
  }
}
