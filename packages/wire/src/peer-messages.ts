import type { Run } from "@ckmesh/core";

/**
 * What two peers of one swarm (one version) say to each other. Rows number the index pieces in head order,
 * then the frames (specs: site swarm rule 1). The BEP 3 and BEP 6 messages carry rows in place of pieces:
 * a request names its first row, has offset 0 and a length that ends on a row border.
 */
export type PeerMessage =
  | { readonly type: "choke" }
  | { readonly type: "unchoke" }
  | { readonly type: "interested" }
  | { readonly type: "not-interested" }
  /** BEP 3 bitfield, BEP 6 have-all and have-none: sent once, first. */
  | { readonly type: "bitfield"; readonly bits: Uint8Array }
  | { readonly type: "have-all" }
  | { readonly type: "have-none" }
  | { readonly type: "request"; readonly row: number; readonly length: number }
  | { readonly type: "cancel"; readonly row: number; readonly length: number }
  | { readonly type: "reject"; readonly row: number; readonly length: number }
  | { readonly type: "piece"; readonly row: number; readonly bytes: Uint8Array }
  | CkMessage;

/** The messages of the BEP 10 extension `ck`, msgpack. */
export type CkMessage =
  /** Rows that became available (or, `lost`, were found bad and dropped). */
  | { readonly type: "have"; readonly runs: readonly Run[] }
  | { readonly type: "lost"; readonly runs: readonly Run[] }
  | { readonly type: "claim"; readonly claim: Claim; readonly hops: number }
  | { readonly type: "promise"; readonly promise: RowPromise; readonly hops: number }
  | { readonly type: "peers"; readonly peers: readonly NamedPeer[] }
  /** Peers that the sender is linked with, all of them: they need no relay of each other's claims. */
  | { readonly type: "neighbours"; readonly ids: readonly PeerIdPrefix[] }
  /** The origin has this newer version of the image, and a delta to it from the one of this swarm: a hint to look there. */
  | { readonly type: "newer"; readonly version: number }
  /** These rows of yours had a wrong hash: read them again before you offer them. */
  | { readonly type: "bad-rows"; readonly runs: readonly Run[] };

/**
 * "I am fetching these rows over the WAN" (site swarm rule 6). Signed by the claimer, so that relays cannot
 * alter it. `epoch` rises with every message of a claimer, so that a repeat is told from a relayed copy.
 */
export interface Claim {
  readonly span: number;
  /** Rows of the span that the claimer means to fetch. */
  readonly rows: Run;
  /** Peer id of the claimer, lower-case hex of 32 bytes. */
  readonly claimer: string;
  readonly epoch: number;
  /** Verified bytes of `rows` so far. */
  readonly bytesDone: number;
  /** Bytes per second, the claimer's own measure; 0 when unknown. */
  readonly rate: number;
  readonly state: ClaimState;
  /** Ms from now on in which the claimer may not ask the origin; with `paused` only, 1 to `MAX_CLAIM_PAUSE_MS`. */
  readonly pauseMs?: number;
  /** The claimer's raw Ed25519 public key (32 bytes; its SHA-256 is the peer id) and signature (64 bytes). */
  readonly key: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * `open`: announced, no byte yet · `moving`: bytes arrive · `done`: all rows held · `released`: given up ·
 * `paused`: the origin told the claimer to wait (429, 503), and it will go on.
 */
export type ClaimState = "open" | "moving" | "done" | "released" | "paused";

/** The first 8 bytes of a peer id, lower-case hex. */
export type PeerIdPrefix = string;

export function peerIdPrefix(peerId: string): PeerIdPrefix {
  return peerId.slice(0, 16);
}

/**
 * "These rows come from me without the WAN" (site swarm rule 8, `canDerive`): from an older version on the
 * machine, from a delta, from the swarm of the previous version. Replaces the earlier one of the same peer;
 * without runs it is taken back, with the same ones its owner says that it is at work. Signed and relayed like a claim, as not everybody is linked to everybody.
 */
export interface RowPromise {
  /** Ascending and apart, at most `MAX_PROMISE_RUNS`. */
  readonly runs: readonly Run[];
  /** Peer id, lower-case hex of 32 bytes. */
  readonly promiser: string;
  /** Rises with every promise of a peer. */
  readonly epoch: number;
  /** The promiser's raw Ed25519 public key (32 bytes; its SHA-256 is the peer id) and signature (64 bytes). */
  readonly key: Uint8Array;
  readonly signature: Uint8Array;
}

export interface PeerAddress {
  /** IP literal. */
  readonly address: string;
  readonly port: number;
}

/** An address, and who is there as far as the sender knows: a hint, which only the identity at the other end proves. */
export interface NamedPeer extends PeerAddress {
  readonly id?: PeerIdPrefix;
}

export const PEER_CLASSES = ["wired", "wifi", "battery"] as const;
export type PeerClass = (typeof PEER_CLASSES)[number];

/** The one default port of all swarms, TCP and UDP. */
export const DEFAULT_PEER_PORT = 7650;
export const DEFAULT_TRACKER_PORT = 7660;
/** LAN announcements. */
export const LAN_GROUP = "239.192.152.143";
/** Peers with another number do not share a swarm (site swarm rule 16). */
export const CLAIM_RULES = 1;

/** Longest piece answer and longest request: site swarm rule 15. */
export const MAX_REQUEST_BYTES = 1024 * 1024;
/** Highest version number that is spoken of. */
export const MAX_VERSION = 2 ** 31 - 1;
/** Most rows of a version; checked before any allocation. */
export const MAX_ROWS = 8 * 1024 * 1024;
/** As long as a Retry-After is believed. */
export const MAX_CLAIM_PAUSE_MS = 3_600_000;
export const MAX_CK_MESSAGE_BYTES = 64 * 1024;
/** Most runs of one promise: 20 KB on the wire. A plan in more pieces promises its longest runs first. */
export const MAX_PROMISE_RUNS = 2000;
