import type { AppError, Run } from "@ckmesh/core";
import type { DiskPaths, VersionFiles, VersionRecord } from "@ckmesh/store";
import type { ClientContext } from "../client-context.js";

/** What the driver of a version is given, and whom it tells what becomes of it. */
export interface VersionDriverOptions {
  readonly context: ClientContext;
  readonly record: VersionRecord;
  readonly headBlock: Uint8Array;
  readonly aliasEtag?: string;
  /** Older versions of the image to take frames from, the best first. */
  readonly older: () => readonly VersionFiles[];
  /** Frames of one of them seem to be damaged. */
  readonly onDamaged: (older: VersionFiles, runs: readonly Run[]) => void;
  /** The disk that the new one may be a clone of. */
  readonly base: () => DiskPaths | undefined;
  /** Every byte is proven and the pack has its final name. */
  readonly onVerified: () => void;
  /** The origin no longer has this version where it was, or refuses it: its head is to be looked at again. */
  readonly onStale: () => void;
  /** A peer says that the origin has a newer version. */
  readonly onNewer: (version: number, peerId: string) => void;
  /** The work on this machine stopped; it may be tried again. */
  readonly onFault: (err: AppError) => void;
  /** State, error or counters changed: the record is to be saved. */
  readonly onChanged: () => void;
}
