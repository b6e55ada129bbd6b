import { sha256 } from "@ckmesh/core";
import { type ControlRecord, type Rollout, rolloutOf, withdrawalOf } from "./control-record.js";

/** A client, as rings see it. */
export interface Follower {
  /** Peer id, hexadecimal: who it is for good. */
  readonly id: string;
  readonly groups: readonly string[];
}

/** What a client may do with a version. */
export type Clearance =
  /** Fetch it and make it active. */
  | { readonly type: "free" }
  /** Fetch it, and make it active from then on. Unix seconds. */
  | { readonly type: "prefetch"; readonly activateAt: number }
  /** Neither begin nor make it active; who has it active stays. `until`: Unix seconds, where it is known. */
  | { readonly type: "wait"; readonly reason: "ring" | "held" | "early"; readonly until?: number }
  /** Not use it: who has it active goes back. */
  | { readonly type: "withdrawn"; readonly reason?: string };

export interface ClearanceRequest {
  readonly record: ControlRecord;
  /** Versions whose rollout the origin holds: only a delay, so nobody signs it. */
  readonly held: readonly number[];
  readonly follower: Follower;
  readonly version: number;
  /** Unix seconds. */
  readonly now: number;
}

/** What the record lets a client do with a version. The same client always gets the same answer. */
export function clearanceOf({ record, held, follower, version, now }: ClearanceRequest): Clearance {
  const withdrawal = withdrawalOf(record, version);
  if (withdrawal !== undefined) {
    const { reason } = withdrawal;
    return { type: "withdrawn", ...(reason !== undefined && { reason }) };
  }
  const rollout = rolloutOf(record, version);
  if (rollout === undefined) return { type: "free" };
  if (!isInOpenRing(rollout, follower, record.name)) return { type: "wait", reason: "ring" };
  if (rollout.isHeld || held.includes(version)) return { type: "wait", reason: "held" };
  const { prefetchAt, activateAt } = rollout;
  if (prefetchAt !== undefined && now < prefetchAt) {
    return { type: "wait", reason: "early", until: prefetchAt };
  }
  if (activateAt !== undefined && now < activateAt) return { type: "prefetch", activateAt };
  return { type: "free" };
}

/** Where a client stands among all clients, 0 to 100, evenly spread and another one for each version. */
export function ringPosition(followerId: string, image: string, version: number): number {
  const hash = Buffer.from(sha256(Buffer.from(`ckmesh-ring-1\n${followerId}\n${image}\n${version}`)));
  return (hash.readUIntBE(0, 6) / 2 ** 48) * 100;
}

/**
 * The lowest version that a client may take, so that nobody can bring old ones back; 0: any.
 * @param highest the highest version ever verified here
 * @param verified versions that lie here, verified
 */
export function lowestAllowed(
  record: ControlRecord,
  highest: number | undefined,
  verified: readonly number[],
): number {
  let lowest = highest ?? 0;
  for (;;) {
    const at = lowest;
    const withdrawal = withdrawalOf(record, at);
    if (withdrawal === undefined) return lowest;
    // The publisher's word, else the next one that was good enough before. Falls with each round.
    lowest = withdrawal.backTo ?? Math.max(0, ...verified.filter((v) => v < at));
    if (lowest === 0) return 0;
  }
}

function isInOpenRing(rollout: Rollout, follower: Follower, image: string): boolean {
  const { rings, approved, version } = rollout;
  if (approved >= rings.length) return true;
  const position = ringPosition(follower.id, image, version);
  return rings
    .slice(0, approved + 1)
    .some(
      ({ percent, groups }) =>
        position < (percent ?? 0) || groups?.some((group) => follower.groups.includes(group)) === true,
    );
}
