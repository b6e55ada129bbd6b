import type { Claim } from "@ckmesh/wire";
import {
  CLAIM_VOID_MS,
  DONE_CLAIM_MS,
  GONE_CLAIM_MS,
  MAX_VOID_MS,
  NEIGHBOUR_DONE_MS,
  STRANGER_DONE_MS,
  UNRATED_VOID_MS,
} from "../constants.js";
import type { LinkId } from "../swarm-messages.js";

/** A claim of another peer, with what is known of its movement. */
export interface KnownClaim {
  readonly claim: Claim;
  readonly score: number;
  /** Of the claimed rate, what is believed; 0 when unknown. */
  readonly rate: number;
  /** When the claimer opened it. */
  readonly since: number;
  readonly isNeighbour: boolean;
  /** The link that told of the claimer first; for claimers without a link. */
  readonly via: LinkId | undefined;
  /** It made us give up a fetch by its rate. */
  hasDisplaced: boolean;
  /** Bytes of its rows that were on offer beside what it had fetched when it was first heard of: they prove nothing. */
  readonly baseBytes: number;
  /** Bytes of its rows that came on offer since, as far as it says that it fetched them. */
  readonly shownBytes: number;
  /** Finished, and the rows were seen on offer. */
  isShown: boolean;
  /** When this very message was first seen. */
  readonly firstSeen: number;
  /** When it last moved forward (or appeared); of a paused claim, when it may go on. */
  progressAt: number;
  /** Most bytes that the claimer has ever shown on this span: opening again without more is no progress. */
  readonly mostBytes: number;
  /** Without progress for this long it is void. */
  readonly voidMs: number;
  isVoid: boolean;
}

/** What speaks for a claim beside its own words. */
export interface ClaimEvidence {
  /** Bytes of its rows that are on offer: at the claimer if it has a link to us, else anywhere. */
  readonly borneOutBytes: number;
  /** Largest row of the claim: twice its time at the claimed rate may pass without progress. */
  readonly rowBytes: number;
  /** The claimer has a link to us. */
  readonly isNeighbour: boolean;
  /** It came over the claimer's own link. */
  readonly isOwnWord: boolean;
  /** The link that brought the message. */
  readonly via?: LinkId;
}

/** What stands for evidence where there is none: the claimer's own words. */
export function trusting(claim: Claim): ClaimEvidence {
  return { borneOutBytes: claim.bytesDone, rowBytes: 65_536, isNeighbour: true, isOwnWord: false };
}

/** A rate of which no byte was borne out is as good as none. */
export function voidMsOf(claim: Claim, { rowBytes, borneOutBytes, isNeighbour }: ClaimEvidence): number {
  const isKnown = claim.rate > 0 && (borneOutBytes > 0 || 2000 * rowBytes < CLAIM_VOID_MS * claim.rate);
  const rowsMs = isKnown ? (2000 * rowBytes) / claim.rate : UNRATED_VOID_MS;
  // Of a stranger's rows, news comes by others' haves.
  return Math.min(MAX_VOID_MS, Math.max(isNeighbour ? CLAIM_VOID_MS : UNRATED_VOID_MS, rowsMs));
}

/** How long a claim that moved last at `progressAt` is kept as it is. */
export function lifetime(known: KnownClaim, gossipMs: number): number {
  // A void claim that is still repeated is not a new one each time.
  if (known.isVoid || known.claim.state === "released")
    return known.firstSeen - known.progressAt + GONE_CLAIM_MS;
  if (isActive(known.claim)) return Math.max(known.voidMs, gossipMs);
  if (known.isShown && !known.isNeighbour) return DONE_CLAIM_MS;
  return Math.max(known.isNeighbour ? NEIGHBOUR_DONE_MS : STRANGER_DONE_MS, gossipMs);
}

export function isActive(claim: Claim): boolean {
  return claim.state === "open" || claim.state === "moving" || claim.state === "paused";
}

export function isValid(known: KnownClaim): boolean {
  return known.claim.state !== "released" && !known.isVoid;
}
