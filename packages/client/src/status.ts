import type { ErrorCode } from "@ckmesh/core";
import type { SourceBytes, VersionState, WastedBytes } from "@ckmesh/store";
import type { Policy } from "./config/config-schema.js";
import type { SpaceNeeded } from "./disk/space-need.js";
import type { TrimStatus } from "./trim/host-trim.js";

/** What `status --json` shows; its keys are API (docs: json output). */
export interface ClientStatus {
  readonly store: string;
  /** False: read from the folder, no client has it open. */
  readonly running: boolean;
  readonly origin?: string;
  readonly site?: string;
  readonly tracker?: "connected" | "away";
  /** Where peers connect; 0: nowhere. */
  readonly peerPort?: number;
  /** Whether peers connect to this client: `none` after a while with peers and no connection. Absent: not known yet. */
  readonly inbound?: "seen" | "none";
  /** Peer id, hex. */
  readonly peerId?: string;
  /** ISO 8601. */
  readonly nextCheckAt?: string;
  /** What may come from the origin now. */
  readonly wan?: WanStatus;
  /** Files of this machine from which frames may come; absent: trim is off. */
  readonly trim?: TrimStatus;
  readonly lastError?: StatusError;
  readonly images: readonly ImageStatus[];
}

export interface WanStatus {
  /** `rate`: a temporary order names one. */
  readonly mode: "off" | "slow" | "full" | "rate";
  readonly reason: "configuration" | "timetable" | "override";
  /** When the mode may change next, ISO 8601. */
  readonly until?: string;
  /** Cap of the whole site. */
  readonly bytesPerSec?: number;
  /** Without a cap: what this client keeps to while others use the link. */
  readonly yieldingTo?: number;
  /** The best rate of the whole site that was measured. */
  readonly bestBytesPerSec?: number;
}

export interface StatusError {
  readonly code: ErrorCode;
  readonly message: string;
}

export interface ImageStatus {
  readonly name: string;
  readonly policy?: Policy;
  readonly active?: number;
  readonly lastError?: StatusError;
  /** Absent: the publisher has said nothing of the versions of this image. */
  readonly control?: ControlStatus;
  readonly versions: readonly VersionStatus[];
}

/** The control record that this machine obeys. */
export interface ControlStatus {
  /** 0: none. */
  readonly serial: number;
  /** Versions whose rollout the origin holds because too many clients failed. */
  readonly held: readonly number[];
  /** Why the record at the origin does not count. */
  readonly problem?: StatusError;
}

export const NO_RATE: VersionStatus["rate"] = { peers: 0, origin: 0 };

export interface VersionStatus {
  readonly version: number;
  /** Version id, hex. */
  readonly id: string;
  readonly state: VersionState;
  /** Whether it is shared with peers; the text says why not. */
  readonly swarming: boolean | string;
  readonly haveRows: number;
  readonly rows: number;
  /** Bytes of all rows: pack without its header, and index without its head. */
  readonly needed: number;
  /** Bytes of the rows held, each counted once by how it came. */
  readonly bytes: SourceBytes;
  /** Bytes that were of no use; `origin` = those of them that came over the WAN. */
  readonly wasted: WastedBytes;
  /** Bytes per second, the last few seconds. */
  readonly rate: { readonly peers: number; readonly origin: number };
  readonly peers: number;
  /** File name of the rebuilt disk. */
  readonly disk?: string;
  /** Its pack was given up (`seedPacks: false`): disk and index are here. */
  readonly packShed?: true;
  /** Bytes that it will still take in the store until its disk is rebuilt; absent: it is, or nothing is fetched. */
  readonly spaceNeeded?: SpaceNeeded;
  /** Pack outside of the store from which rows are being copied. */
  readonly importing?: string;
  /** What keeps it from being fetched, or from becoming active; absent: nothing. */
  readonly clearance?: ClearanceStatus;
  readonly error?: StatusError;
}

export interface ClearanceStatus {
  /** `ring`: others have it first. `early`, `prefetch`: not fetched, not active before `until`. */
  readonly type: "ring" | "held" | "early" | "prefetch" | "withdrawn";
  /** ISO 8601. */
  readonly until?: string;
  /** The publisher's words. */
  readonly reason?: string;
}
