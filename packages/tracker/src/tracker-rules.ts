import type { SiteRange } from "./site-rules.js";

/** What a tracker's decisions depend on; made of the configuration. */
export interface TrackerRules {
  /** Opens tickets of the origin. */
  readonly fleetKey?: Uint8Array;
  /** Lets clients in that have no ticket. */
  readonly joinKey?: Uint8Array;
  /** Lets everybody in: tests and trusted networks. */
  readonly open: boolean;
  /** Hands out loopback addresses too: tests and demonstrations on one machine. */
  readonly allowLoopback: boolean;
  readonly sites: readonly SiteRange[];
  /** Clients announce each swarm this often. */
  readonly announceMs: number;
  readonly limits: TrackerLimits;
}

/** All that bounds memory. */
export interface TrackerLimits {
  readonly maxConnections: number;
  /** A whole branch may be behind one public address. */
  readonly maxConnectionsPerAddress: number;
  readonly maxSwarmsPerPeer: number;
  /** Last reports kept, one for each peer and image. */
  readonly maxReports: number;
}

export const DEFAULT_LIMITS: TrackerLimits = {
  maxConnections: 20_000,
  maxConnectionsPerAddress: 1_000,
  maxSwarmsPerPeer: 64,
  maxReports: 50_000,
};

export const DEFAULT_ANNOUNCE_MS = 300_000;
/** From the connection to a hello that lets in. */
export const HELLO_TIMEOUT_MS = 10_000;
/** A member that has not announced for so many intervals has left the swarm. */
export const MISSED_ANNOUNCES = 3;
/** Joins are collected so long before the other members hear of them … */
export const PUSH_DELAY_MS = 200;
/** … and they hear of joins in one swarm this often at most, … */
export const PUSH_PAUSE_MS = 1_000;
/** … so many members of it, drawn at random: every joiner gets a list of its own and dials. */
export const PUSH_FANOUT = 64;
/** Fresh after a start a list is not called complete: members of the time before are still on their way. */
export const WARM_UP_MS = 15_000;
/** Addresses of the time before the start are handed out this long, or until their peer is back. */
export const REMEMBERED_MS = 120_000;
/** A snapshot older than this is of no use. */
export const SNAPSHOT_MAX_AGE_MS = 600_000;
/** More addresses of one peer are not handed out. */
export const MAX_OFFERS_PER_PEER = 3;

/** Messages of one connection: a burst for all its swarms after a reconnect, then a steady rate. */
export const MESSAGE_BURST = 256;
export const MESSAGES_PER_SEC = 20;
/** Announces cost most: a list each. */
export const ANNOUNCE_BURST = 128;
export const ANNOUNCES_PER_SEC = 5;
/** What a refused client is asked to wait. */
export const RETRY_MS = 30_000;
