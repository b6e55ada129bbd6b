import type { AppError, Bitfield, Logger, Run } from "@ckmesh/core";
import type { ImageRows, VersionFiles } from "@ckmesh/store";
import type { ClientContext } from "../client-context.js";
import type { VersionSwarm } from "../version/version-swarm.js";
import type { Waste } from "../version/waste.js";
import type { OpenBase } from "./delta-base.js";
import type { FoundDelta } from "./delta-search.js";
import type { DeltaTally } from "./delta-tally.js";

/** What a delta needs of the swarm of its target. */
type TargetSwarm = Pick<
  VersionSwarm,
  "step" | "donate" | "isOffered" | "expected" | "isFetchedElsewhere" | "isSettled" | "links" | "peers"
>;

export interface DeltaVersionOptions {
  readonly context: ClientContext;
  /** The version that is fetched, or the step that is made. */
  readonly target: ImageRows;
  /** Frames of the target that are wanted, as rows; undefined: all. */
  readonly wanted?: Bitfield;
  /**
   * Looks for the delta, which is to take less than these bytes.
   * @throws {AppError} when nobody can say whether there is one
   */
  readonly find: (missingBytes: number, signal: AbortSignal) => Promise<FoundDelta | undefined>;
  readonly openBase: OpenBase;
  readonly swarm: TargetSwarm;
  /** False: nothing of the delta need come over the WAN at this moment. */
  readonly isNeeded?: () => boolean;
  /** False: the origin only, no peers. */
  readonly swarms: boolean;
  /** Frames that cannot be packed here are kept decoded, for the disk; such a machine promises nothing. */
  readonly keepsDecoded: boolean;
  /**
   * Requires room for all that is still to come of the version that is fetched, what `space` says included, and for so
   * many bytes more.
   * @throws {AppError} ERR_STORE_FULL
   */
  readonly requireSpace: (moreBytes?: number) => Promise<void>;
  readonly waste: Waste;
  readonly tally: DeltaTally;
  readonly logger: Logger;
  readonly onProgress: () => void;
  /** Frames of the target are no longer held back for a delta. */
  readonly onReleased: () => void;
  /** Frames of a version that is here seem to be damaged. */
  readonly onDamaged: (base: VersionFiles, runs: readonly Run[]) => void;
  /** The work on the target cannot go on: full disk. */
  readonly onFault: (err: AppError) => void;
}
