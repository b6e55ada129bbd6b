import { Bitfield, type Run } from "@ckmesh/core";
import type { PeerClass, PeerIdPrefix } from "@ckmesh/wire";
import {
  LONG_REQUEST_BYTES,
  LONG_REQUEST_MS,
  MAX_WINDOW_BYTES,
  MIN_WINDOW_BYTES,
  REQUEST_BYTES,
  REQUEST_MS,
  REQUEST_TIMEOUT_MS,
  WINDOW_MS,
} from "../constants.js";
import { SpanSet } from "../rows/span-set.js";
import type { LinkId, SwarmEvent } from "../swarm-messages.js";

/** A request that was sent and not yet answered. */
export interface Asked {
  readonly run: Run;
  readonly bytes: number;
  readonly at: number;
}

/** A request of the peer that waits for its turn. */
export interface Waiting {
  readonly row: number;
  readonly length: number;
}

/** What is known of one connected peer. */
export class Link {
  readonly id: LinkId;
  readonly peerId: string;
  readonly address: string;
  /** Where it listens; 0 when unknown. */
  readonly port: number;
  readonly inbound: boolean;
  readonly peerClass: PeerClass;
  readonly rttMs: number;
  readonly upAt: number;
  /** Rows that the peer offers. */
  bits: Bitfield;
  /** Rows that it named in haves and losses so far. */
  namedRows = 0;
  /** It has said what it holds. */
  hasGreeted = false;
  /** Rows held here of which the peer was not told yet, and since when there are some. */
  untold: Run[] = [];
  untoldSince = 0;
  /** When this client closes it, because a nearer peer took its place; undefined: it stays. */
  leavesAt: number | undefined;
  /** The peer is about to close it: it does not count us among its links any more. */
  isUnlisted = false;
  /** Peers that it is linked with, by their prefixes, as far as it said. */
  neighbours: ReadonlySet<PeerIdPrefix> = new Set();

  /** They serve us. */
  isUnchoked = false;
  isInterested = false;
  /** When we last wanted something of it. */
  wantedAt = 0;
  readonly asked = new Map<number, Asked>();
  askedBytes = 0;
  /** Rows taken out of `bits` because they were offered and not delivered, until when. */
  distrusted: { readonly run: Run; readonly until: number }[] = [];
  /** Spans in which the peer may hold free rows; may name too many, never too few. */
  readonly spans = new SpanSet();
  /** Bytes per second of its answers, smoothed; 0 before the first. */
  rate = 0;
  timeouts = 0;
  /** It has answered a request with rows. */
  hasDelivered = false;
  /** Requests refused in a row though the rows are offered. */
  refusals = 0;
  /** Turns in a row that it gave us and that brought nothing. */
  emptyTurns = 0;
  lastAnswerAt = 0;
  /** When it last answered with rows. */
  deliveredAt = Number.NEGATIVE_INFINITY;

  /** We serve them. */
  wantsUs = false;
  wantsSince = 0;
  hasSlot = false;
  slotSince = 0;
  /** Bytes sent in this turn. */
  slotBytes = 0;
  readonly waiting: Waiting[] = [];
  uploading = 0;

  /** When it last claimed or finished something. */
  claimedAt = Number.NEGATIVE_INFINITY;
  /** Claim messages in the running second. */
  claimsSince = 0;
  claimCount = 0;
  /** Messages that no honest peer sends. */
  offences = 0;
  /** Strangers' claims in a row that it was first to tell of and that came to nothing; deaf to more until then. */
  voidsTold = 0;
  mutedUntil = 0;
  /** Promises in the running second. */
  promisesSince = 0;
  promiseCount = 0;
  peersSentAt = Number.NEGATIVE_INFINITY;
  /** The newer version of which it was told. */
  toldNewer: number | undefined;
  /** Peers near to it were looked for then; those that it was told of. */
  nearSentAt = Number.NEGATIVE_INFINITY;
  nearChanges = -1;
  readonly nearTold = new Set<PeerIdPrefix>();

  constructor(up: Extract<SwarmEvent, { type: "peer-up" }>, rows: number, now: number) {
    this.id = up.link;
    this.peerId = up.peerId;
    this.address = up.address;
    this.port = up.port;
    this.inbound = up.inbound;
    this.peerClass = up.peerClass;
    this.rttMs = up.rttMs;
    this.upAt = now;
    this.bits = new Bitfield(rows);
  }

  /** Bytes that may be asked and unanswered: what the link carries in its latency and a reading's time. */
  get window(): number {
    const covered = (this.rate * Math.max(WINDOW_MS, 4 * this.rttMs)) / 1000;
    return Math.min(MAX_WINDOW_BYTES, Math.max(MIN_WINDOW_BYTES, covered));
  }

  /** Longest request: what the peer sends in a moment. A row is asked for however long it takes. */
  get requestBytes(): number {
    if (this.rate === 0) return REQUEST_BYTES;
    const isFast = this.rate * LONG_REQUEST_MS >= LONG_REQUEST_BYTES * 1000;
    return isFast ? LONG_REQUEST_BYTES : Math.min(REQUEST_BYTES, (this.rate * REQUEST_MS) / 1000);
  }

  /** How long an answer to all that is asked may take. */
  get patienceMs(): number {
    const expected = this.rate > 0 ? (4000 * this.askedBytes) / this.rate : 0;
    return Math.max(REQUEST_TIMEOUT_MS, expected);
  }

  ask(run: Run, bytes: number, now: number): void {
    if (this.asked.size === 0) this.lastAnswerAt = now;
    this.asked.set(run.first, { run, bytes, at: now });
    this.askedBytes += bytes;
  }

  /** Takes a request off the list; undefined if it was not there. */
  settle(row: number): Asked | undefined {
    const asked = this.asked.get(row);
    if (asked === undefined) return undefined;
    this.asked.delete(row);
    this.askedBytes -= asked.bytes;
    return asked;
  }

  /** An answer of `bytes` arrived. */
  measure(bytes: number, now: number): void {
    const ms = Math.max(1, now - this.lastAnswerAt);
    const rate = (bytes * 1000) / ms;
    this.rate = this.rate === 0 ? rate : this.rate * 0.8 + rate * 0.2;
    this.lastAnswerAt = now;
    this.hasDelivered = true;
    this.deliveredAt = now;
    this.timeouts = 0;
    this.refusals = 0;
    this.emptyTurns = 0;
  }
}
