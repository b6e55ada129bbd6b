import type { PeerAddress, PeerClass } from "./peer-messages.js";

/** Largest tracker message in either direction. */
export const MAX_TRACKER_MESSAGE_BYTES = 16 * 1024;
/** Most peers in one answer. */
export const MAX_PEERS_PER_ANSWER = 50;

/** What a client (or, with a ticket of role `origin`, the origin) says to the tracker. */
export type ToTracker =
  | {
      readonly type: "hello";
      /** 32 bytes. */
      readonly peerId: Uint8Array;
      /** From the origin (`GET /ckmesh/ticket`). */
      readonly ticket?: Uint8Array;
      /** HMAC-SHA256(join key, "ckmesh/1 join" ‖ nonce of the challenge ‖ peer id). */
      readonly joinProof?: Uint8Array;
      /** Site label from the configuration. */
      readonly site?: string;
      /** Own private addresses; the tracker hands them out only where they lie in the site. */
      readonly addresses: readonly string[];
      /** Subnets of the own interfaces, CIDR. */
      readonly subnets: readonly string[];
      /** Peer port; 0 when no peer can connect. */
      readonly port: number;
      readonly peerClass: PeerClass;
      readonly requires: readonly string[];
      readonly claimRules: number;
    }
  /** `have` of `rows` rows are held; asks for peers. */
  | { readonly type: "announce"; readonly swarm: Uint8Array; readonly have: number; readonly rows: number }
  | { readonly type: "leave"; readonly swarm: Uint8Array }
  | ({ readonly type: "report" } & ProgressReport)
  /** Role `origin` only. */
  | { readonly type: "published"; readonly image: string; readonly version: number };

export type FromTracker =
  /** First message of the tracker on every connection; 16 random bytes. */
  | { readonly type: "challenge"; readonly nonce: Uint8Array }
  | {
      readonly type: "welcome";
      readonly site: string;
      /** Networks of the site, CIDR: what the dial policy may reach. Empty when unknown. */
      readonly networks: readonly string[];
      /** The client's address as the tracker sees it. */
      readonly observed: string;
      /** Announce each swarm this often. */
      readonly announceMs: number;
    }
  /** Live peers of the same site and swarm, without the receiver; also pushed when one joins. */
  | {
      readonly type: "peers";
      readonly swarm: Uint8Array;
      readonly peers: readonly PeerAddress[];
      readonly complete: boolean;
    }
  | { readonly type: "published"; readonly image: string; readonly version: number }
  | {
      readonly type: "refused";
      readonly remoteCode: string;
      readonly message: string;
      readonly retryMs: number;
    };

export interface ProgressReport {
  readonly image: string;
  readonly version: number;
  readonly state: string;
  readonly have: number;
  readonly rows: number;
  readonly bytes: {
    readonly previous: number;
    readonly delta: number;
    readonly host: number;
    readonly peers: number;
    readonly origin: number;
    readonly wasted: number;
  };
}

/** What an authenticated reader may prove to the tracker; HMAC-SHA256 with the fleet key (DESIGN section 6). */
export interface Ticket {
  readonly peerId: Uint8Array;
  readonly user: string;
  readonly role: "client" | "origin";
  /** From the origin's address map. */
  readonly site?: string;
  /** Unix ms. */
  readonly expires: number;
}
