import type { Bitfield, Run } from "@ckmesh/core";
import type { PeerAddress, PeerClass, PeerMessage } from "@ckmesh/wire";

/** A peer connection, numbered by the driver; never reused. */
export type LinkId = number;
/** A range request at the origin, numbered by the machine; never reused. */
export type FetchId = number;

/** What the driver tells the machine of one version's swarm. Every `step` also takes `now` (monotonic ms). */
export type SwarmEvent =
  /** Addresses to try. `complete`: the tracker's list, which names everybody it knows. */
  | {
      readonly type: "candidates";
      readonly source: CandidateSource;
      readonly peers: readonly PeerAddress[];
      readonly complete?: boolean;
    }
  /** Networks of the own site (CIDR): own subnets, configuration, tracker. Replaces the earlier list. */
  | { readonly type: "networks"; readonly own: readonly string[]; readonly site: readonly string[] }
  | { readonly type: "dial-failed"; readonly peer: PeerAddress; readonly reason: "unreachable" | "refused" }
  /** The link is up: identity proven, same version. `rttMs` is the smallest of three probes. */
  | {
      readonly type: "peer-up";
      readonly link: LinkId;
      readonly peerId: string;
      readonly address: string;
      /** Where that peer listens; 0 when unknown. */
      readonly port: number;
      readonly inbound: boolean;
      readonly peerClass: PeerClass;
      readonly rttMs: number;
    }
  | { readonly type: "peer-down"; readonly link: LinkId }
  /** Any message but `piece`. */
  | {
      readonly type: "message";
      readonly link: LinkId;
      readonly message: Exclude<PeerMessage, { type: "piece" }>;
    }
  /** An answer to a request arrived; its rows were hashed. `good` are stored and on offer by now. */
  | {
      readonly type: "piece";
      readonly link: LinkId;
      readonly row: number;
      readonly good: readonly Run[];
      readonly bad: readonly Run[];
    }
  /** An upload left for the socket (or failed to be read: `ok` false). */
  | {
      readonly type: "uploaded";
      readonly link: LinkId;
      readonly row: number;
      readonly length: number;
      readonly ok: boolean;
    }
  /** Rows that were verified and stored: from a fetch at the origin, or from local data. */
  | {
      readonly type: "stored";
      readonly runs: readonly Run[];
      readonly source: "origin" | "local";
      readonly fetch?: FetchId;
    }
  /** Rows found damaged in the own store: no longer offered, wanted again. */
  | { readonly type: "lost"; readonly runs: readonly Run[] }
  | {
      readonly type: "fetch-ended";
      readonly fetch: FetchId;
      readonly result: FetchResult;
      readonly retryMs?: number;
    }
  /**
   * The frame table is verified: sizes of all frames in bytes, by frame. Frame rows and spans exist from now on.
   * `local`: rows that local data is about to deliver, as in `local-plan`. `wanted`: only these are.
   */
  | {
      readonly type: "frames";
      readonly lengths: Uint32Array;
      readonly local?: Bitfield;
      readonly wanted?: Bitfield;
    }
  /**
   * Rows that local data is about to deliver (`stored`, source local): nobody is asked for them until
   * `local-done`, and peers are promised them (rule 8).
   */
  | { readonly type: "local-plan"; readonly rows: Bitfield }
  | { readonly type: "local-done" }
  /**
   * Rows that a source beside this swarm may deliver (`stored`, source local): not claimed, but peers may be asked
   * for them. Replaces the earlier ones; empty: no more. `isSure`: it will, and peers are promised them.
   */
  | { readonly type: "beside"; readonly rows: Bitfield; readonly isSure: boolean }
  /** That source goes on, though no row of this swarm is there yet: what comes of it is waited for anew. */
  | { readonly type: "beside-came" }
  /** The origin has this newer version, and a delta to it: peers are told. */
  | { readonly type: "newer"; readonly version: number }
  /** Another swarm with the same rows asks its peers for these (or no longer does): not asked for twice. */
  | { readonly type: "elsewhere"; readonly runs: readonly Run[]; readonly isAsked: boolean }
  /** The first byte of a fetch came so long after its request. */
  | { readonly type: "first-byte"; readonly fetch: FetchId; readonly ms: number }
  /** May this client fetch at the origin now? Also said when the WAN budget changed: what runs against it ends. */
  | { readonly type: "origin-gate"; readonly open: boolean }
  | { readonly type: "tick" };

export type CandidateSource = "tracker" | "lan" | "peers" | "memory";

/** `done` all rows came · `failed` nothing more will come; partial rows were stored · `bad` a row's hash was wrong. */
export type FetchResult = "done" | "failed" | "bad" | "aborted";

/** What the machine wants done. Effects are carried out in order. */
export type SwarmEffect =
  | { readonly type: "dial"; readonly peer: PeerAddress }
  | { readonly type: "close"; readonly link: LinkId; readonly reason: CloseReason }
  | {
      readonly type: "send";
      readonly link: LinkId;
      readonly message: Exclude<PeerMessage, { type: "piece" }>;
    }
  /** Read rows from `row` on, `length` bytes in all, and send them as one piece; then `uploaded`. */
  | { readonly type: "upload"; readonly link: LinkId; readonly row: number; readonly length: number }
  /** Peers were asked for rows, or will not deliver them; only if the configuration wants to know. */
  | { readonly type: "asked"; readonly rows: Run; readonly isAsked: boolean }
  /** Fetch adjacent rows (of one file, one span) at the origin: `stored` as they verify, then `fetch-ended`. */
  | { readonly type: "fetch"; readonly fetch: FetchId; readonly rows: Run; readonly span: number }
  | { readonly type: "abort-fetch"; readonly fetch: FetchId }
  /** A peer says that the origin has this newer version: not to be believed. */
  | { readonly type: "heard-newer"; readonly version: number; readonly peerId: string }
  /** Every row is held. The machine goes on serving peers. */
  | { readonly type: "complete" };

export type CloseReason =
  | "duplicate"
  | "self"
  | "far"
  | "banned"
  | "too-many"
  | "idle"
  | "misbehaved"
  | "seeds-both";
