import type { Bitfield, Random, Run } from "@ckmesh/core";
import type { Claim, PeerClass, RowPromise } from "@ckmesh/wire";
import type { UnsignedClaim } from "./claims/claim-announcer.js";
import type { UnsignedPromise } from "./rows/promise-gossip.js";
import type { PieceSection } from "./rows/row-table.js";
import type { WanPacer } from "./wan/wan-pacer.js";

export interface SwarmConfig {
  /** 32 bytes. */
  readonly versionId: Uint8Array;
  /** Own peer id, lower-case hex of 32 bytes. */
  readonly peerId: string;
  readonly peerClass: PeerClass;
  /** Rows of the version, frames included. */
  readonly rows: number;
  /** Index sections in head order. */
  readonly sections: readonly PieceSection[];
  /** Rows of the `hashes` section: no other index row can be checked, so none is asked for, before they are held. */
  readonly hashesRows: Run;
  /** Where a span ends, if not at 2 MiB: the same for all peers. For simulations, whose rows may be longer than that. */
  readonly spanBytes?: number;
  /** Rows held at the start; owned by the machine from now on. */
  readonly have: Bitfield;
  /** False when swarming is off: no peers are expected or taken, and nothing settles. */
  readonly swarming: boolean;
  /** Another swarm on this machine brings the same rows: `asked` effects tell what is asked here. */
  readonly tellsAsked?: boolean;
  /** True if the row comes without the WAN at this moment, from a source beside this swarm: then it is not claimed. */
  readonly comesBeside?: (row: number) => boolean;
  readonly allowLoopback: boolean;
  readonly peerPort: number;
  readonly random: Random;
  /** Higher than in any earlier run on this store: Unix seconds will do. */
  readonly epoch: number;
  readonly sign: (claim: UnsignedClaim) => Claim;
  /** True if key, claimer and signature belong together. */
  readonly verify: (claim: Claim) => boolean;
  readonly signPromise: (promise: UnsignedPromise) => RowPromise;
  /** True if key, promiser and signature belong together. */
  readonly verifyPromise: (promise: RowPromise) => boolean;
  /** Holds all swarms of the client to the WAN budget of the site; default: no limit. */
  readonly wan?: WanPacer;
}

export interface SwarmStatus {
  readonly links: number;
  readonly held: number;
  readonly missing: number;
  readonly moving: number;
  readonly isSettled: boolean;
}
